-- breaking: no
-- Which server CAs a phone was given along with its client certificate (B-064). By job, to which
-- certificate.job_id leads, also when the job is deleted.
CREATE TABLE given_trust (
  job_id          bigint PRIMARY KEY,
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  anchors         bytea[] NOT NULL          -- SHA-256 of their DER
);
CREATE INDEX given_trust_device_idx ON given_trust (device_id);
-- Phones that are secure by now trust at least the one that they call.
INSERT INTO given_trust (job_id, device_id, anchors)
SELECT c.job_id, v.id, ARRAY[sha256(s.chain[cardinality(s.chain)])]
  FROM device v
  JOIN certificate c ON c.device_id = v.id AND c.slot = 'secure-mode' AND c.state = 'active' AND c.job_id IS NOT NULL
  JOIN secure_credential s ON s.kind = 'server' AND s.active
 WHERE v.security_state <> 'default';
