-- breaking: no
-- Deployments in waves. A server of the former release would start one all at once: none should run any more when the
-- first is made.

ALTER TABLE deployment
  ADD COLUMN wave_size integer NOT NULL DEFAULT 0 CHECK (wave_size >= 0),  -- phones per wave; 0: all at once
  ADD COLUMN wave_failure_limit_percent integer NOT NULL DEFAULT 10
    CHECK (wave_failure_limit_percent BETWEEN 0 AND 100),
  ADD COLUMN wave integer NOT NULL DEFAULT 0,         -- the last one that was started
  ADD COLUMN wave_excused integer NOT NULL DEFAULT 0, -- up to this one somebody has said to go on in spite of failures
  -- Phones of the location have their turn by their MAC: those up to here had it. Null: not started, or the last wave has.
  ADD COLUMN wave_after text,
  ADD COLUMN halted_at timestamptz,
  ADD COLUMN halt_reason text NOT NULL DEFAULT '',
  ADD COLUMN halt_text text NOT NULL DEFAULT '',
  ADD CHECK ((halted_at IS NOT NULL) = (halt_reason <> ''));
CREATE INDEX deployment_waves_idx ON deployment (id)
  WHERE active AND wave_after IS NOT NULL AND halted_at IS NULL;

-- 0: not of a wave.
ALTER TABLE job ADD COLUMN wave integer NOT NULL DEFAULT 0;
CREATE INDEX job_wave_idx ON job (deployment_id, wave, state) WHERE wave > 0;

-- Phones that joined the location when the turn of their MAC was over: they come with the next wave.
CREATE TABLE deployment_joiner (
  deployment_id   bigint NOT NULL REFERENCES deployment (id) ON DELETE CASCADE,
  device_id       bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
  PRIMARY KEY (deployment_id, device_id)
);
CREATE INDEX deployment_joiner_device_idx ON deployment_joiner (device_id);
