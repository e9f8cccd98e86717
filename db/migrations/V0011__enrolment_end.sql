-- breaking: no
-- An enrolment that ends without success leaves the phone as it was: a job of secure mode tells its device, however it
-- ends. Jobs of other slots pay for one comparison.
CREATE FUNCTION enrolment_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE device SET security_state = 'default'
   WHERE id = NEW.device_id AND security_state IN ('enrolling', 'awaiting_pin');
  -- Otherwise the phone had no credentials yet, unless it is secure: then its renewal has ended.
  INSERT INTO security_state_event (device_id, state, text)
  SELECT id, security_state,
         CASE security_state WHEN 'secure' THEN 'the renewal ended (' ELSE 'the enrolment ended (' END
           || replace(NEW.state, '_', ' ') || '): ' || coalesce(nullif(NEW.reason_text, ''), NEW.reason)
    FROM device WHERE id = NEW.device_id AND (FOUND OR security_state = 'secure');
  RETURN NULL;
END $$;
CREATE TRIGGER job_enrolment_ended AFTER UPDATE OF finished_at ON job FOR EACH ROW
  WHEN (NEW.slot = 'secure-mode' AND NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL
        AND NEW.state <> 'succeeded')
  EXECUTE FUNCTION enrolment_ended();
-- Those that ended so far.
WITH stranded AS (
  UPDATE device SET security_state = 'default'
   WHERE security_state IN ('enrolling', 'awaiting_pin')
     AND NOT EXISTS (SELECT 1 FROM job WHERE device_id = device.id AND slot = 'secure-mode' AND finished_at IS NULL)
  RETURNING id)
INSERT INTO security_state_event (device_id, state, text)
SELECT id, 'default', 'the enrolment had ended before' FROM stranded ORDER BY id;
