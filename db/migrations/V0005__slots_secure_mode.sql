-- breaking: no
-- Every certificate slot, and secure mode. What slots there are is data of the server (slots.file), not of the schema.

ALTER TABLE deployment DROP CONSTRAINT deployment_slot_check;
-- secure-mode only: how the credentials are protected on their way (B-065).
ALTER TABLE deployment ADD COLUMN pin_mode text CHECK (pin_mode IN ('none', 'default', 'individual'));

-- ---- secure mode (B-060 to B-069)

-- Rows of the table of server and client credentials (B-061, B-062). Several may coexist, one of each kind is active:
-- overlap during a change (B-064). Purpose of the wrapped key: 'secure-server-key:<id>'.
CREATE TABLE secure_credential (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind            text NOT NULL CHECK (kind IN ('server', 'client')),
  connector_id    bigint NOT NULL REFERENCES connector (id),
  active          boolean NOT NULL DEFAULT false,
  -- server: what the secure door presents. client: null, phones get their own.
  certificate_id  bigint REFERENCES certificate (id),
  wrapped_key     bytea,
  -- server: its parents and root, which phones must trust. client: the issuing CA and its parents, which the door trusts.
  chain           bytea[] NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  CHECK ((kind = 'server') = (certificate_id IS NOT NULL)),
  CHECK ((certificate_id IS NULL) = (wrapped_key IS NULL))
);
CREATE UNIQUE INDEX secure_credential_active_idx ON secure_credential (kind) WHERE active;
CREATE INDEX secure_credential_connector_idx ON secure_credential (connector_id);

ALTER TABLE device
  ADD COLUMN security_state text NOT NULL DEFAULT 'default'
    CHECK (security_state IN ('default',         -- not authenticated (18443)
                              'enrolling',       -- credentials are on the way or just written
                              'awaiting_pin',    -- written under a PIN that somebody has to type at the phone
                              'pin_exhausted',   -- too many wrong PINs at the phone
                              'secure',          -- mutual TLS; refused at 18443
                              'desynchronised'   -- secure here, but calls in default mode (B-069)
                              )),
  ADD COLUMN tan_failures integer NOT NULL DEFAULT 0;
CREATE INDEX device_security_idx ON device (security_state, mac) WHERE security_state <> 'default';

-- Tab Security State Protocol (B-067).
CREATE TABLE security_state_event (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  at              timestamptz NOT NULL DEFAULT clock_timestamp(),
  state           text NOT NULL,
  text            text NOT NULL
);
CREATE INDEX security_state_event_device_idx ON security_state_event (device_id, id);

-- Who tried what at a phone door: impostors, wrong certificates, wrong TANs.
CREATE TABLE security_event (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at              timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind            text NOT NULL,
  door            text NOT NULL,
  address         text NOT NULL,
  mac             text NOT NULL DEFAULT '',
  detail          text NOT NULL DEFAULT ''
);
CREATE INDEX security_event_mac_idx ON security_event (mac, id);

-- Security PINs; device_id null: the default PIN (B-065). Purpose 'security-pin:<device id, or default>'.
CREATE TABLE security_pin (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id       bigint REFERENCES device (id) ON DELETE CASCADE,
  wrapped_pin     bytea NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL,     -- infinity: the default PIN
  viewed_at       timestamptz
);
CREATE INDEX security_pin_expiry_idx ON security_pin (expires_at);
CREATE UNIQUE INDEX security_pin_device_idx ON security_pin (device_id) NULLS NOT DISTINCT;

-- The secure door sees the very DER that a phone was given. Only such certificates: every index is paid for at
-- issuance.
CREATE INDEX certificate_client_idx ON certificate (sha256) WHERE kind = 'tls-client' AND sha256 IS NOT NULL;

ALTER TABLE phone_session DROP CONSTRAINT phone_session_step_check;
ALTER TABLE phone_session ADD CONSTRAINT phone_session_step_check
  CHECK (step IN ('inventory', 'write', 'read_back', 'tan'));
