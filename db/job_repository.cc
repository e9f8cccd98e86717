#include "db/job_repository.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/job_row.h"

namespace phonepki::db {
namespace {

// Locations with a limit are locked by a statement of its own: only the snapshot of the next one is sure to
// show the jobs that the last holder of the lock claimed.
constexpr Query kLockLimitedLocations{
    "location_lock_limited", "SELECT id FROM location WHERE max_sessions > 0 FOR NO KEY UPDATE SKIP LOCKED"};

// Locations are visited round-robin behind $4, one batch each, so that a large location does not hold up a
// small one; of those with a limit, the locked ones in $5. An occupied place is a phone waited for, in
// session, or a job in a worker's hands. A job whose lease ran out is simply due again, so a crashed worker
// needs no rescue pass. Served by job_knock_due_idx and job_occupied_idx.
constexpr Query kClaimDueKnocks{"job_claim_due_knocks", R"sql(
  WITH room AS (
    SELECT id, $1::int AS places FROM location WHERE max_sessions = 0
     UNION ALL
    SELECT l.id, l.max_sessions - (SELECT count(*) FROM job o
                                    WHERE o.location_id = l.id AND o.finished_at IS NULL
                                      AND (o.state IN ('waiting', 'running') OR o.worker IS NOT NULL)
                                      AND coalesce(o.lease_expires_at, o.run_at) > now())
      FROM location l WHERE l.id = ANY($5::bigint[]) AND l.max_sessions > 0),
  due AS (
    SELECT d.id
      FROM (SELECT id, places FROM room WHERE places > 0 ORDER BY id <= $4, id) r
     CROSS JOIN LATERAL (
           SELECT j.id FROM job j
            WHERE j.location_id = r.id AND j.state IN ('scheduled', 'waiting', 'running', 'deferred')
              AND j.run_at <= now() AND (j.lease_expires_at IS NULL OR j.lease_expires_at <= now())
            ORDER BY j.run_at, j.id
            LIMIT least(r.places, $1)
              FOR NO KEY UPDATE SKIP LOCKED) d
     LIMIT $1),
  claimed AS (
    UPDATE job
       SET worker = $2, attempt = attempt + 1, lease_expires_at = now() + make_interval(secs => $3::float8)
      FROM due WHERE job.id = due.id
    RETURNING job.*)
  SELECT )sql" JOB_COLUMNS R"sql( FROM claimed j JOIN device v ON v.id = j.device_id
   ORDER BY j.location_id <= $4, j.location_id, j.run_at, j.id)sql"};

constexpr Query kClaimDueProbes{"job_claim_due_probes", R"sql(
  WITH due AS (
    SELECT id FROM job
     WHERE state = 'verifying' AND run_at <= now()
       AND (lease_expires_at IS NULL OR lease_expires_at <= now())
     ORDER BY run_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED),
  claimed AS (
    UPDATE job
       SET worker = $2, attempt = attempt + 1, lease_expires_at = now() + make_interval(secs => $3::float8)
      FROM due WHERE job.id = due.id
    RETURNING job.*)
  SELECT )sql" JOB_COLUMNS R"sql( FROM claimed j JOIN device v ON v.id = j.device_id)sql"};

// The device row is the gate: two workers with jobs of one phone meet at its lock, and the second finds the
// gap taken. Devices are locked in id order, so that two batches cannot deadlock.
constexpr Query kArmKnocks{"job_arm_knocks", R"sql(
  WITH orders AS (
    SELECT job_id, attempt, device_id, certificate_id
      FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[])
           AS o (job_id, attempt, device_id, certificate_id)),
  locked AS MATERIALIZED (
    SELECT id FROM device WHERE id IN (SELECT device_id FROM orders) ORDER BY id FOR NO KEY UPDATE),
  knocked AS (
    UPDATE device
       SET knock_address = ip_address, knocked_at = now(),
           knock_expires_at = now() + make_interval(secs => $5::float8),
           next_knock_at = now() + make_interval(secs => $6::float8)
      FROM locked
     WHERE device.id = locked.id AND next_knock_at <= now()
    RETURNING device.id)
  UPDATE job
     SET state = 'waiting', reason = 'KNOCKED', reason_text = 'the phone was asked to call',
         certificate_id = nullif(orders.certificate_id, 0), worker = NULL, lease_expires_at = NULL,
         run_at = now() + make_interval(secs => $5::float8)
    FROM orders JOIN knocked ON knocked.id = orders.device_id
   WHERE job.id = orders.job_id AND job.attempt = orders.attempt AND job.worker IS NOT NULL
  RETURNING job.id)sql"};

// Raising attempt keeps a knock that failed meanwhile from taking this one back. Polls without work, nearly
// all of them, lock nothing. Offline is what a phone behind NAT looks like: only other back-offs are waited
// for.
constexpr Query kAnswerPoll{"job_answer_poll", R"sql(
  WITH work AS (
    SELECT j.id, j.device_id
      FROM device v
      JOIN job j ON j.device_id = v.id AND j.finished_at IS NULL
      JOIN location l ON l.id = j.location_id
     WHERE v.mac = $1 AND v.state = 'registered' AND v.security_state <> 'desynchronised'
       AND (j.state IN ('scheduled', 'waiting', 'deferred') OR j.state = 'running' AND j.run_at <= now())
       AND (j.state <> 'deferred' OR j.run_at <= now() OR j.reason IN ('PHONE_OFFLINE', 'CONTACT_GAP'))
       AND (j.lease_expires_at IS NULL OR j.lease_expires_at <= now())
       AND (l.max_sessions = 0
            OR l.max_sessions > (SELECT count(*) FROM job o
                                  WHERE o.location_id = l.id AND o.finished_at IS NULL AND o.id <> j.id
                                    AND (o.state IN ('waiting', 'running') OR o.worker IS NOT NULL)
                                    AND coalesce(o.lease_expires_at, o.run_at) > now()))
     ORDER BY j.id LIMIT 1),
  locked AS MATERIALIZED (
    SELECT id FROM device
     WHERE id = (SELECT device_id FROM work) AND ip_address = $2::inet
       AND NOT coalesce(knock_address = $2::inet AND knock_expires_at > now(), false)
       FOR NO KEY UPDATE),
  knocked AS (
    UPDATE device
       SET knock_address = $2::inet, knocked_at = now(),
           knock_expires_at = now() + make_interval(secs => $3::float8),
           next_knock_at = now() + make_interval(secs => $4::float8)
      FROM locked WHERE device.id = locked.id
    RETURNING device.id),
  waits AS (
    UPDATE job
       SET state = 'waiting', reason = 'KNOCKED', reason_text = 'the phone asked for work and was told to call',
           attempt = attempt + 1, worker = NULL, lease_expires_at = NULL,
           run_at = now() + make_interval(secs => $3::float8)
      FROM work JOIN knocked ON knocked.id = work.device_id
     WHERE job.id = work.id AND job.finished_at IS NULL
       AND (job.lease_expires_at IS NULL OR job.lease_expires_at <= now()))
  SELECT EXISTS (SELECT 1 FROM work))sql"};

constexpr Query kRelease{"job_release", R"sql(
  UPDATE job
     SET state = r.state, reason = r.reason, reason_text = r.reason_text, worker = NULL, lease_expires_at = NULL,
         failures = failures + r.add_failures,
         unanswered = CASE r.unanswered WHEN 0 THEN job.unanswered WHEN 1 THEN job.unanswered + 1 ELSE 0 END,
         run_at = now() + make_interval(secs => r.delay),
         finished_at = CASE WHEN r.state IN ('succeeded', 'failed', 'timed_out', 'cancelled', 'superseded', 'halted')
                            THEN now() END
    FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::int[], $8::int[])
         AS r (job_id, attempt, state, reason, reason_text, delay, add_failures, unanswered)
   WHERE job.id = r.job_id AND job.attempt = r.attempt AND job.finished_at IS NULL
  RETURNING job.id)sql"};

constexpr Query kKnockFailed{"job_knock_failed", R"sql(
  WITH failed AS (
    UPDATE job
       SET state = 'deferred', reason = 'PHONE_OFFLINE', reason_text = f.text, unanswered = unanswered + 1,
           run_at = now() + make_interval(secs => f.delay)
      FROM unnest($1::bigint[], $2::int[], $3::float8[], $4::text[]) AS f (job_id, attempt, delay, text)
     WHERE job.id = f.job_id AND job.attempt = f.attempt AND job.state = 'waiting'
    RETURNING job.device_id)
  UPDATE device
     SET knock_expires_at = NULL, next_knock_at = now() + make_interval(secs => $5::float8)
    FROM failed WHERE device.id = failed.device_id)sql"};

constexpr Query kFindForSession{"job_find_for_session", "SELECT " JOB_COLUMNS R"sql(
    FROM job j JOIN device v ON v.id = j.device_id
   WHERE j.device_id = $1 AND j.finished_at IS NULL AND j.state IN ('waiting', 'running', 'deferred', 'scheduled')
     AND (j.lease_expires_at IS NULL OR j.lease_expires_at <= now())
   ORDER BY j.id LIMIT 1 FOR NO KEY UPDATE OF j)sql"};
constexpr Query kFindBySlot{"job_find_by_slot", "SELECT " JOB_COLUMNS R"sql(
    FROM job j JOIN device v ON v.id = j.device_id
   WHERE j.device_id = $1 AND j.slot = $2 AND j.finished_at IS NULL FOR NO KEY UPDATE OF j)sql"};
constexpr Query kSetCertificate{"job_set_certificate", R"sql(
  UPDATE job SET certificate_id = $3 WHERE id = $1 AND attempt = $2 AND finished_at IS NULL)sql"};
constexpr Query kExtendKnock{"device_extend_knock", R"sql(
  UPDATE device SET knock_expires_at = now() + make_interval(secs => $2::float8) WHERE id = $1)sql"};
constexpr Query kForgetKnock{"device_forget_knock",
                             "UPDATE device SET knock_expires_at = NULL WHERE id = $1"};
constexpr Query kHasten{"job_hasten", R"sql(
  UPDATE job SET run_at = now(), unanswered = 0
   WHERE device_id = $1 AND finished_at IS NULL AND state IN ('scheduled', 'deferred') AND run_at > now()
     AND lease_expires_at IS NULL)sql"};

constexpr Query kTimeOut{"job_time_out", R"sql(
  UPDATE job
     SET state = 'timed_out', reason = 'DEADLINE',
         reason_text = 'not finished by its deadline; last: ' || reason || ' ' || reason_text,
         attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
   WHERE id IN (SELECT id FROM job WHERE finished_at IS NULL AND deadline <= now() ORDER BY deadline LIMIT $1
                   FOR NO KEY UPDATE SKIP LOCKED))sql"};

constexpr Query kGet{"job_get",
                     "SELECT " JOB_COLUMNS " FROM job j JOIN device v ON v.id = j.device_id WHERE j.id = $1"};
#define JOB_FILTER                                                                                          \
  " AND j.id < $1 AND (cardinality($5::text[]) = 0 OR j.state = ANY($5::text[])) AND ($6 = '' OR j.reason " \
  "= $6)"                                                                                                   \
  " AND ($3::bigint IS NULL OR j.deployment_id = $3) AND ($4::bigint IS NULL OR j.device_id = $4)"          \
  " ORDER BY j.id DESC LIMIT $2"
constexpr Query kList{"job_list", "SELECT " JOB_COLUMNS
                                  " FROM job j JOIN device v ON v.id = j.device_id WHERE true" JOB_FILTER};
constexpr Query kListByDeployment{"job_list_by_deployment", "SELECT " JOB_COLUMNS
                                                            " FROM job j JOIN device v ON v.id = j.device_id"
                                                            " WHERE j.deployment_id = $3::bigint" JOB_FILTER};
constexpr Query kListByDevice{"job_list_by_device", "SELECT " JOB_COLUMNS
                                                    " FROM job j JOIN device v ON v.id = j.device_id"
                                                    " WHERE j.device_id = $4::bigint" JOB_FILTER};
constexpr Query kEvents{"job_events", R"sql(
  SELECT e.id, e.xact::text, e.job_id, '', to_usec(e.at), e.from_state, e.to_state, e.reason, e.reason_text, e.attempt
    FROM job_event e WHERE e.job_id = $1 ORDER BY e.id)sql"};

#define CANCEL_SET                                                                           \
  "UPDATE job SET state = 'cancelled', reason = 'CANCELLED_BY_OPERATOR', reason_text = $2, " \
  "attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now() "      \
  "WHERE finished_at IS NULL AND "
constexpr Query kCancel{"job_cancel", CANCEL_SET "id = $1"};
constexpr Query kCancelOfDeployment{"job_cancel_of_deployment", CANCEL_SET "deployment_id = $1"};
constexpr Query kCancelOfDevice{"job_cancel_of_device", CANCEL_SET "device_id = $1"};

// A manual job stands for what was wanted then: not once somebody wanted something else.
#define RETRY_SET                                                                             \
  "UPDATE job SET state = 'scheduled', reason = 'RETRIED_BY_OPERATOR', reason_text = '', "    \
  "attempt = attempt + 1, failures = 0, unanswered = 0, run_at = now(), finished_at = NULL, " \
  "deadline = now() + coalesce(manual_deadline, (SELECT d.job_deadline FROM deployment d "    \
  "WHERE d.id = job.deployment_id)), location_id = CASE WHEN manual_deadline IS NULL THEN "   \
  "location_id ELSE (SELECT v.location_id FROM device v WHERE v.id = job.device_id) END "     \
  "WHERE job.state IN ('failed', 'timed_out', 'cancelled') "                                  \
  "AND NOT EXISTS (SELECT 1 FROM job other WHERE other.device_id = job.device_id "            \
  "AND other.slot = job.slot AND (other.finished_at IS NULL OR "                              \
  "(job.manual_deadline IS NOT NULL AND other.id > job.id))) AND "
constexpr Query kRetry{"job_retry", RETRY_SET "job.id = $1"};
constexpr Query kRetryFailed{"job_retry_failed",
                             RETRY_SET "job.deployment_id = $1 AND job.state IN ('failed', 'timed_out')"};

// Only what every running transaction can no longer precede; see job_event.xact.
constexpr Query kEventsEnd{"job_events_end", "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"};
constexpr Query kReadEvents{"job_events_read", R"sql(
  SELECT e.id, e.xact::text, e.job_id, v.mac, to_usec(e.at), e.from_state, e.to_state, e.reason, e.reason_text,
         e.attempt
    FROM job_event e JOIN job j ON j.id = e.job_id JOIN device v ON v.id = j.device_id
   WHERE (e.xact, e.id) > ($1::text::xid8, $2::bigint) AND e.xact < pg_snapshot_xmin(pg_current_snapshot())
     AND ($3::bigint IS NULL OR e.deployment_id = $3)
   ORDER BY e.xact, e.id LIMIT $4)sql"};

std::vector<JobRecord> ToJobs(const pqxx::result& rows) {
  std::vector<JobRecord> jobs;
  jobs.reserve(rows.size());
  for (const auto& row : rows) jobs.push_back(ToJob(row));
  return jobs;
}

JobEventRecord ToEvent(const pqxx::row& row) {
  return {row[0].as<std::int64_t>(), row[1].as<std::string>(), row[2].as<std::int64_t>(),
          row[3].as<std::string>(),  ToTime(row[4]),           row[5].as<std::string>(""),
          row[6].as<std::string>(),  row[7].as<std::string>(), row[8].as<std::string>(),
          row[9].as<int>()};
}

std::vector<std::int64_t> ToIds(const pqxx::result& rows) {
  std::vector<std::int64_t> ids;
  ids.reserve(rows.size());
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  return ids;
}

double Seconds(absl::Duration duration) {
  return absl::ToDoubleSeconds(duration);
}

}  // namespace

absl::StatusOr<std::vector<JobRecord>> ClaimDueKnocks(Tx& tx, const ClaimParams& params) {
  ASSIGN_OR_RETURN(pqxx::result locations, tx.Execute(kLockLimitedLocations));
  std::vector<std::int64_t> locked;
  for (const auto& row : locations) locked.push_back(row[0].as<std::int64_t>());
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kClaimDueKnocks, params.limit, params.worker,
                                                 Seconds(params.lease), params.after_location, locked));
  return ToJobs(rows);
}

absl::StatusOr<std::vector<JobRecord>> ClaimDueProbes(Tx& tx, const ClaimParams& params) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kClaimDueProbes, params.limit, params.worker, Seconds(params.lease)));
  return ToJobs(rows);
}

absl::StatusOr<std::vector<std::int64_t>> ArmKnocks(Tx& tx, const std::vector<KnockOrder>& orders,
                                                    absl::Duration lifetime, absl::Duration contact_gap) {
  std::vector<std::int64_t> jobs, devices, certificates, attempts;
  for (const KnockOrder& order : orders) {
    jobs.push_back(order.fence.job_id);
    attempts.push_back(order.fence.attempt);
    devices.push_back(order.device_id);
    certificates.push_back(order.certificate_id);
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kArmKnocks, jobs, attempts, devices, certificates,
                                                 Seconds(lifetime), Seconds(contact_gap)));
  return ToIds(rows);
}

absl::StatusOr<bool> AnswerPoll(Tx& tx, const std::string& mac, const std::string& address,
                                absl::Duration lifetime, absl::Duration contact_gap) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kAnswerPoll, mac, address, Seconds(lifetime), Seconds(contact_gap)));
  return rows.at(0)[0].as<bool>();
}

absl::StatusOr<std::vector<std::int64_t>> ReleaseJobs(Tx& tx, const std::vector<JobRelease>& releases) {
  std::vector<std::int64_t> jobs, attempts, failures, unanswered;
  std::vector<std::string> states, reasons, texts, delays;
  for (const JobRelease& release : releases) {
    jobs.push_back(release.fence.job_id);
    attempts.push_back(release.fence.attempt);
    states.push_back(release.state);
    reasons.push_back(release.reason);
    texts.push_back(release.reason_text);
    delays.push_back(absl::StrCat(Seconds(release.delay)));
    failures.push_back(release.add_failures);
    unanswered.push_back(static_cast<int>(release.unanswered));
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kRelease, jobs, attempts, states, reasons, texts, delays,
                                                 failures, unanswered));
  return ToIds(rows);
}

absl::Status KnockFailed(Tx& tx, const std::vector<JobFence>& fences,
                         const std::vector<absl::Duration>& delays, const std::vector<std::string>& texts,
                         absl::Duration min_interval) {
  std::vector<std::int64_t> jobs, attempts;
  std::vector<std::string> seconds;
  for (std::size_t i = 0; i < fences.size(); ++i) {
    jobs.push_back(fences[i].job_id);
    attempts.push_back(fences[i].attempt);
    seconds.push_back(absl::StrCat(Seconds(delays[i])));
  }
  return tx.Execute(kKnockFailed, jobs, attempts, seconds, texts, Seconds(min_interval)).status();
}

absl::StatusOr<std::optional<JobRecord>> FindJobForSession(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindForSession, device_id));
  if (rows.empty()) return std::optional<JobRecord>();
  return std::optional<JobRecord>(ToJob(rows[0]));
}

absl::StatusOr<std::optional<JobRecord>> FindEnrolmentJob(Tx& tx, std::int64_t device_id,
                                                          const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindBySlot, device_id, slot));
  if (rows.empty()) return std::optional<JobRecord>();
  return std::optional<JobRecord>(ToJob(rows[0]));
}

absl::Status SetJobCertificate(Tx& tx, const JobFence& fence, std::int64_t certificate_id) {
  return tx.Execute(kSetCertificate, fence.job_id, fence.attempt, certificate_id).status();
}

absl::Status ExtendKnock(Tx& tx, std::int64_t device_id, absl::Duration lifetime) {
  return tx.Execute(kExtendKnock, device_id, Seconds(lifetime)).status();
}

absl::Status ForgetKnock(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kForgetKnock, device_id).status();
}

absl::StatusOr<std::int64_t> HastenJobs(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kHasten, device_id));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<std::int64_t> TimeOutJobs(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kTimeOut, limit));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<JobRecord> GetJob(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGet, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no job jobs/", id));
  return ToJob(rows[0]);
}

absl::StatusOr<std::vector<JobRecord>> ListJobs(Tx& tx, const JobFilter& filter, std::int64_t before,
                                                int limit) {
  const Query& query = filter.device_id ? kListByDevice : filter.deployment_id ? kListByDeployment : kList;
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, before, limit, filter.deployment_id, filter.device_id,
                                                 filter.states, filter.reason));
  return ToJobs(rows);
}

absl::StatusOr<std::vector<JobEventRecord>> ListJobEvents(Tx& tx, std::int64_t job_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kEvents, job_id));
  std::vector<JobEventRecord> events;
  for (const auto& row : rows) events.push_back(ToEvent(row));
  return events;
}

absl::StatusOr<bool> CancelJob(Tx& tx, std::int64_t id, const std::string& text) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCancel, id, text));
  return rows.affected_rows() > 0;
}

absl::StatusOr<std::int64_t> CancelJobsOfDeployment(Tx& tx, std::int64_t deployment_id,
                                                    const std::string& text) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCancelOfDeployment, deployment_id, text));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<std::int64_t> CancelJobsOfDevice(Tx& tx, std::int64_t device_id, const std::string& text) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCancelOfDevice, device_id, text));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<bool> RetryJob(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kRetry, id));
  return rows.affected_rows() > 0;
}

absl::StatusOr<std::int64_t> RetryFailedJobs(Tx& tx, std::int64_t deployment_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kRetryFailed, deployment_id));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<JobEventPage> ReadJobEvents(Tx& tx, std::optional<std::int64_t> deployment_id,
                                           const std::string& cursor, int limit) {
  JobEventPage page;
  if (cursor.empty()) {
    ASSIGN_OR_RETURN(pqxx::result end, tx.Execute(kEventsEnd));
    page.cursor = absl::StrCat(end.at(0)[0].as<std::string>(), ":0");
    return page;
  }
  const std::vector<std::string> parts = absl::StrSplit(cursor, ':');
  std::uint64_t xact = 0;
  std::int64_t id = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &xact) || !absl::SimpleAtoi(parts[1], &id)) {
    return absl::InvalidArgumentError("cursor: pass the cursor of the last message received, or nothing");
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kReadEvents, parts[0], id, deployment_id, limit));
  for (const auto& row : rows) page.events.push_back(ToEvent(row));
  page.cursor =
      page.events.empty() ? cursor : absl::StrCat(page.events.back().xact, ":", page.events.back().id);
  return page;
}

}  // namespace phonepki::db
