-- breaking: no
-- Internal CAs, plug-ins, connectors, certificates, audit. Names and behaviours: domain.md b.1 to b.3.

CREATE FUNCTION to_usec(timestamptz) RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN (extract(epoch FROM $1) * 1000000)::bigint;

CREATE TABLE internal_ca (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  display_name    text NOT NULL UNIQUE CHECK (length(display_name) BETWEEN 1 AND 100),
  description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
  enabled         boolean NOT NULL DEFAULT false,
  parent_id       bigint REFERENCES internal_ca (id),
  -- All of the following are null while the record is a draft.
  certificate     bytea,
  chain           bytea[],       -- parents, nearest first, root last; empty for a root
  wrapped_key     bytea,         -- envelope of ca/keystore, purpose 'ca-key:<id>'
  not_before      timestamptz,
  not_after       timestamptz,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CHECK ((certificate IS NULL) = (wrapped_key IS NULL)),
  CHECK (NOT enabled OR certificate IS NOT NULL)
);
CREATE INDEX internal_ca_parent_idx ON internal_ca (parent_id);

CREATE TABLE plugin (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  display_name    text NOT NULL UNIQUE CHECK (length(display_name) BETWEEN 1 AND 100),
  description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
  enabled         boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE plugin_property (
  plugin_id       bigint NOT NULL REFERENCES plugin (id) ON DELETE CASCADE,
  name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  value           text NOT NULL CHECK (length(value) <= 4000),
  PRIMARY KEY (plugin_id, name)
);

-- The list that Synchronise fills. ca_id is not a foreign key: a deleted CA that a connector still names is
-- reported, not dropped (B-024).
CREATE TABLE plugin_issuing_ca (
  plugin_id       bigint NOT NULL REFERENCES plugin (id) ON DELETE CASCADE,
  ca_id           bigint NOT NULL,
  display_name    text NOT NULL,
  PRIMARY KEY (plugin_id, ca_id)
);
CREATE INDEX plugin_issuing_ca_ca_idx ON plugin_issuing_ca (ca_id);

CREATE TABLE connector (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  display_name    text NOT NULL UNIQUE CHECK (length(display_name) BETWEEN 1 AND 100),
  description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
  enabled         boolean NOT NULL DEFAULT false,
  plugin_id       bigint REFERENCES plugin (id),
  issuing_ca_id   bigint REFERENCES internal_ca (id),
  trust_anchor    bytea,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CHECK (NOT enabled OR (plugin_id IS NOT NULL AND issuing_ca_id IS NOT NULL AND trust_anchor IS NOT NULL))
);
CREATE INDEX connector_plugin_idx ON connector (plugin_id);
CREATE INDEX connector_issuing_ca_idx ON connector (issuing_ca_id);

CREATE TABLE connector_request_parameter (
  connector_id    bigint NOT NULL REFERENCES connector (id) ON DELETE CASCADE,
  name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  value           text NOT NULL CHECK (length(value) <= 4000),
  PRIMARY KEY (connector_id, name)
);

-- A row exists, committed, before the CA key signs it (state 'intended').
CREATE TABLE certificate (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ca_id           bigint NOT NULL REFERENCES internal_ca (id),
  serial          bytea NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
  kind            text NOT NULL CHECK (kind IN ('ca', 'wbm', 'spe', 'tls-server', 'tls-client')),
  state           text NOT NULL DEFAULT 'intended'
                  CHECK (state IN ('intended', 'issued', 'active', 'superseded', 'discarded', 'revoked')),
  subject         text NOT NULL,
  not_before      timestamptz NOT NULL,
  not_after       timestamptz NOT NULL,
  tbs_digest      bytea NOT NULL,           -- SHA-256 of what is to be signed
  der             bytea,
  sha256          bytea,                    -- of der
  device_id       bigint,                   -- null for CAs, tests, server credentials
  slot            text,
  job_id          bigint,
  job_attempt     integer,
  created_at      timestamptz NOT NULL DEFAULT now(),
  issued_at       timestamptz,
  UNIQUE (ca_id, serial),
  CHECK (state IN ('intended', 'discarded') OR der IS NOT NULL)
);
CREATE INDEX certificate_device_idx ON certificate (device_id, slot, id) WHERE device_id IS NOT NULL;
CREATE INDEX certificate_job_idx ON certificate (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX certificate_serial_idx ON certificate (serial);
CREATE INDEX certificate_ca_idx ON certificate (ca_id, id);
-- At most one live certificate per device and slot.
CREATE UNIQUE INDEX certificate_active_idx ON certificate (device_id, slot) WHERE state = 'active';

-- Phone keys, only as long as they are needed. Purpose 'phone-key:<serial hex>'.
CREATE TABLE certificate_key (
  certificate_id  bigint PRIMARY KEY REFERENCES certificate (id) ON DELETE CASCADE,
  wrapped_key     bytea NOT NULL
);

-- C-09: a subject belongs to one device and slot per CA; a renewal for the same phone may use it again.
CREATE TABLE subject_claim (
  ca_id           bigint NOT NULL REFERENCES internal_ca (id) ON DELETE CASCADE,
  subject_key     text NOT NULL,            -- canonical form
  device_id       bigint NOT NULL,
  slot            text NOT NULL,
  PRIMARY KEY (ca_id, subject_key)
);
CREATE INDEX subject_claim_device_idx ON subject_claim (device_id);

-- Certificates of our own doors, shared by all replicas. Purpose 'door-key:<door>'.
CREATE TABLE door_credential (
  door            text PRIMARY KEY,         -- 'api-ca', 'api', 'phone'
  chain           bytea[] NOT NULL,         -- own certificate first
  wrapped_key     bytea NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);

-- Pre-generated key pairs. Purpose 'pool-key:<SHA-256 of the public key, hex>'.
CREATE TABLE key_pool (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key_algorithm   text NOT NULL,
  spki            bytea NOT NULL,
  wrapped_key     bytea NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX key_pool_algorithm_idx ON key_pool (key_algorithm, id);

CREATE TABLE audit_log (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at              timestamptz NOT NULL DEFAULT now(),
  actor           text NOT NULL,            -- subject of the caller's certificate, or 'system'
  action          text NOT NULL,            -- 'ca.create', 'key.use', 'connector.test', …
  object          text NOT NULL,            -- resource name
  detail          jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_log_object_idx ON audit_log (object, id);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_log is append-only';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- request_id of create calls: a repeated id returns the resource made first.
CREATE TABLE api_request (
  method          text NOT NULL,
  request_id      text NOT NULL CHECK (length(request_id) BETWEEN 1 AND 100),
  resource_id     bigint NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (method, request_id)
);
CREATE INDEX api_request_age_idx ON api_request (created_at);
