-- breaking: no
-- Nothing looks a job up by its certificate, and every change of a job's state paid for the index.
DROP INDEX job_certificate_idx;
