-- breaking: no
-- Deployments, jobs with their history, phone sessions. States: docs/job-states.md.

CREATE TABLE deployment (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  location_id     bigint NOT NULL REFERENCES location (id),
  slot            text NOT NULL CHECK (slot IN ('wbm')),
  connector_id    bigint NOT NULL REFERENCES connector (id),
  deploy_at       timestamptz NOT NULL DEFAULT now(),
  active          boolean NOT NULL DEFAULT false,
  superseded      boolean NOT NULL DEFAULT false,
  started_at      timestamptz,              -- when its first jobs were created
  job_deadline    interval NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);
-- One rule in force per location and certificate type.
CREATE UNIQUE INDEX deployment_in_force_idx ON deployment (location_id, slot) WHERE active;
CREATE INDEX deployment_due_idx ON deployment (deploy_at) WHERE active AND started_at IS NULL;
CREATE INDEX deployment_connector_idx ON deployment (connector_id);

CREATE TABLE job (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  deployment_id     bigint NOT NULL REFERENCES deployment (id),
  device_id         bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  location_id       bigint NOT NULL,        -- of the deployment; limits are counted by it
  slot              text NOT NULL,
  state             text NOT NULL DEFAULT 'scheduled'
                    CHECK (state IN ('scheduled', 'waiting', 'running', 'deferred', 'verifying', 'succeeded',
                                     'failed', 'timed_out', 'cancelled', 'superseded', 'halted')),
  reason            text NOT NULL DEFAULT '',
  reason_text       text NOT NULL DEFAULT '',
  -- (id, worker, attempt) is the fence: whoever takes the job up raises attempt; a former holder updates no row.
  worker            text,
  attempt           integer NOT NULL DEFAULT 0,
  lease_expires_at  timestamptz,
  failures          integer NOT NULL DEFAULT 0,   -- counted against the retry limit; busy and offline are not
  unanswered        integer NOT NULL DEFAULT 0,   -- knocks in a row without a call, for the back-off
  run_at            timestamptz NOT NULL,         -- when a worker must look at it next
  deadline          timestamptz NOT NULL,
  certificate_id    bigint REFERENCES certificate (id),
  created_at        timestamptz NOT NULL DEFAULT now(),
  finished_at       timestamptz,
  CHECK ((finished_at IS NOT NULL) =
         (state IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'superseded', 'halted')))
);
-- One unfinished job per phone and slot.
CREATE UNIQUE INDEX job_unfinished_slot_idx ON job (device_id, slot) WHERE finished_at IS NULL;
-- Claims go location by location, so that a limit on one location never starves another.
CREATE INDEX job_knock_due_idx ON job (location_id, run_at, id)
  WHERE state IN ('scheduled', 'waiting', 'running', 'deferred');
CREATE INDEX job_verify_due_idx ON job (run_at, id) WHERE state = 'verifying';
CREATE INDEX job_occupied_idx ON job (location_id)
  WHERE finished_at IS NULL AND (state IN ('waiting', 'running') OR worker IS NOT NULL);
CREATE INDEX job_deadline_idx ON job (deadline) WHERE finished_at IS NULL;
CREATE INDEX job_deployment_idx ON job (deployment_id, state, reason);
CREATE INDEX job_device_idx ON job (device_id, id);
CREATE INDEX job_certificate_idx ON job (certificate_id) WHERE certificate_id IS NOT NULL;

CREATE TABLE job_event (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id          bigint NOT NULL REFERENCES job (id) ON DELETE CASCADE,
  deployment_id   bigint NOT NULL,
  at              timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Watchers read what every earlier transaction has settled, ordered by (xact, id): nothing is missed.
  xact            xid8 NOT NULL DEFAULT pg_current_xact_id(),
  from_state      text,
  to_state        text NOT NULL,
  reason          text NOT NULL,
  reason_text     text NOT NULL,
  attempt         integer NOT NULL
);
CREATE INDEX job_event_job_idx ON job_event (job_id, id);
CREATE INDEX job_event_order_idx ON job_event (xact, id);

-- The history is written by the database itself: no statement can change a state without it.
CREATE FUNCTION job_record_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO job_event (job_id, deployment_id, from_state, to_state, reason, reason_text, attempt)
  SELECT id, deployment_id, NULL, state, reason, reason_text, attempt FROM added;
  RETURN NULL;
END $$;
CREATE TRIGGER job_insert_history AFTER INSERT ON job
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION job_record_insert();

CREATE FUNCTION job_record_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO job_event (job_id, deployment_id, from_state, to_state, reason, reason_text, attempt)
  SELECT n.id, n.deployment_id, b.state, n.state, n.reason, n.reason_text, n.attempt
    FROM former AS b JOIN latter AS n USING (id)
   WHERE b.state <> n.state OR b.reason <> n.reason
   ORDER BY n.id;
  RETURN NULL;
END $$;
CREATE TRIGGER job_update_history AFTER UPDATE ON job
  REFERENCING OLD TABLE AS former NEW TABLE AS latter FOR EACH STATEMENT EXECUTE FUNCTION job_record_update();

-- A phone session: lives across connections, replicas and restarts. The cookie itself is not stored.
CREATE TABLE phone_session (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  cookie_hash     bytea NOT NULL UNIQUE,
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  door            text NOT NULL CHECK (door IN ('default', 'secure')),
  remote_address  inet NOT NULL,
  reason          text NOT NULL,            -- of the opening message
  step            text NOT NULL CHECK (step IN ('inventory', 'write', 'read_back')),
  fragments       integer NOT NULL DEFAULT 0,
  job_id          bigint,
  job_attempt     integer,
  started_at      timestamptz NOT NULL DEFAULT now(),
  expires_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX phone_session_device_idx ON phone_session (device_id);
CREATE INDEX phone_session_expiry_idx ON phone_session (expires_at);
