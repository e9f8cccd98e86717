-- breaking: no
-- A connection keeps the plan it made for changes of single jobs: nested loops, for which 20,000 jobs superseded at once
-- took a minute. A hash does for both.
ALTER FUNCTION job_record_update() SET enable_nestloop = off;
