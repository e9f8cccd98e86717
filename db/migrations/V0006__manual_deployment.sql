-- breaking: yes
-- Manual deployment (B-040 to B-053): certificates from files, CA certificates on phones, jobs without a deployment.

-- A certificate from a file has no internal CA, and nothing of it was signed here. Its parents go along with it.
ALTER TABLE certificate
  ALTER COLUMN ca_id DROP NOT NULL,
  ALTER COLUMN tbs_digest DROP NOT NULL,
  ADD COLUMN chain bytea[],                -- as the file had them, nearest first, without the root
  ADD CONSTRAINT certificate_origin_check
    CHECK ((ca_id IS NULL) = (chain IS NOT NULL) AND (ca_id IS NULL) = (tbs_digest IS NULL));

-- A manual job: brings the slot to what is imported for it.
ALTER TABLE job
  ALTER COLUMN deployment_id DROP NOT NULL,
  ADD COLUMN manual_deadline interval,     -- from now on, at every retry; with a deployment its own holds
  ADD CONSTRAINT job_origin_check CHECK ((deployment_id IS NULL) = (manual_deadline IS NOT NULL));
ALTER TABLE job_event ALTER COLUMN deployment_id DROP NOT NULL;

-- CA certificates that phones hold or are to hold, each kept once.
CREATE TABLE trusted_ca (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sha256          bytea NOT NULL UNIQUE,
  der             bytea NOT NULL,
  serial          bytea NOT NULL,
  subject         text NOT NULL,
  not_before      timestamptz NOT NULL,
  not_after       timestamptz NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);

-- The places of CA slots, numbered as the phone's item is (0 where it has no index). Imported and active are two
-- states, as in device_slot.
CREATE TABLE device_ca (
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  slot            text NOT NULL,
  position        integer NOT NULL CHECK (position BETWEEN 0 AND 99),
  imported_id     bigint REFERENCES trusted_ca (id),
  imported_at     timestamptz,
  active_id       bigint REFERENCES trusted_ca (id),
  active_at       timestamptz,
  -- What the manual job of the slot is to do here; null: nothing.
  wanted          text CHECK (wanted IN ('activate', 'remove')),
  PRIMARY KEY (device_id, slot, position)
);
CREATE INDEX device_ca_imported_idx ON device_ca (imported_id) WHERE imported_id IS NOT NULL;
CREATE INDEX device_ca_active_idx ON device_ca (active_id) WHERE active_id IS NOT NULL;

-- A manual job goes with its phone: claims and limits count it where the phone is.
CREATE FUNCTION manual_jobs_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE job SET location_id = NEW.location_id
   WHERE device_id = NEW.id AND deployment_id IS NULL AND finished_at IS NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER device_manual_jobs_move AFTER UPDATE OF location_id ON device FOR EACH ROW
  WHEN (OLD.location_id <> NEW.location_id) EXECUTE FUNCTION manual_jobs_move();
