-- breaking: no
-- Settings of phones that go with their certificates: verification policies (B-045), OCSP responders (D-26).

CREATE TABLE device_setting (
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  slot            text NOT NULL,            -- of the slot table: sip-verification, ocsp, …
  key             text NOT NULL,            -- level, check, responder-1, …
  wanted          text NOT NULL CHECK (length(wanted) <= 255),
  wanted_at       timestamptz NOT NULL DEFAULT now(),
  confirmed       text,                     -- what the phone was told and read back, null: never
  confirmed_at    timestamptz,
  -- Why it was wanted though the phone may lose its server by it (B-047); empty: it may not.
  override_reason text NOT NULL DEFAULT '' CHECK (length(override_reason) <= 1000),
  PRIMARY KEY (device_id, slot, key)
);
