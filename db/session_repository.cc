#include "db/session_repository.h"

#include "base/error.h"
#include "base/status_macros.h"
#include "db/job_row.h"

namespace phonepki::db {
namespace {

// The session first, then its job: one order of locking everywhere. Rows are named by scalar subqueries, not
// joined: a join that was planned while the tables were empty reads them whole when they no longer are.
constexpr Query kFind{"session_find_for_update", R"sql(
  WITH s AS MATERIALIZED (
    SELECT id, device_id, door, remote_address, step, fragments, job_id, job_attempt
      FROM phone_session WHERE cookie_hash = $1 AND expires_at > now() FOR UPDATE),
  held AS MATERIALIZED (
    SELECT job.* FROM job
     WHERE id = (SELECT job_id FROM s) AND attempt = (SELECT job_attempt FROM s) AND state = 'running'
       FOR NO KEY UPDATE)
  SELECT s.id, s.device_id, s.door, host(s.remote_address), s.step, s.fragments, s.job_id, s.job_attempt, c.serial,
         )sql" JOB_COLUMNS R"sql(
    FROM s
    LEFT JOIN held j ON true
    LEFT JOIN device v ON v.id = (SELECT device_id FROM held)
    LEFT JOIN certificate c ON c.id = (SELECT certificate_id FROM held))sql"};
#define OPEN_COLUMNS \
  "(cookie_hash, device_id, door, remote_address, reason, step, expires_at, job_id, job_attempt)"
#define OPEN_REPLACES                                                                                 \
  " ON CONFLICT (device_id) DO UPDATE SET cookie_hash = excluded.cookie_hash, door = excluded.door,"  \
  " remote_address = excluded.remote_address, reason = excluded.reason, step = excluded.step,"        \
  " fragments = 0, job_id = excluded.job_id, job_attempt = excluded.job_attempt, started_at = now()," \
  " expires_at = excluded.expires_at"
constexpr Query kOpen{"session_open",
                      "INSERT INTO phone_session " OPEN_COLUMNS
                      " VALUES ($1, $2, $3, $4::inet, $5, $6,"
                      " now() + make_interval(secs => $7::float8), NULL, NULL)" OPEN_REPLACES};
constexpr Query kOpenForJob{"session_open_for_job", R"sql(
  WITH taken AS (
    UPDATE job
       SET state = 'running', reason = $9, reason_text = $10, attempt = attempt + 1,
           worker = NULL, lease_expires_at = NULL, unanswered = 0,
           run_at = now() + make_interval(secs => $7::float8)
     WHERE id = $8 RETURNING id, attempt)
  INSERT INTO phone_session )sql" OPEN_COLUMNS R"sql(
  SELECT $1, $2, $3, $4::inet, $5, $6, now() + make_interval(secs => $7::float8), id, attempt FROM taken)sql" OPEN_REPLACES
                                                    " RETURNING job_attempt"};
constexpr Query kAdvance{"session_advance", R"sql(
  UPDATE phone_session SET step = $2, fragments = $3, expires_at = now() + make_interval(secs => $4::float8)
   WHERE id = $1)sql"};
constexpr Query kAdvanceForJob{"session_advance_for_job", R"sql(
  WITH noted AS (
    UPDATE job SET reason = $6, reason_text = $7, run_at = now() + make_interval(secs => $4::float8)
      FROM phone_session s
     WHERE s.id = $1 AND job.id = s.job_id AND job.attempt = $5 AND job.finished_at IS NULL)
  UPDATE phone_session SET step = $2, fragments = $3, expires_at = now() + make_interval(secs => $4::float8)
   WHERE id = $1)sql"};
constexpr Query kFinishForJob{"session_finish_for_job", R"sql(
  WITH closed AS (DELETE FROM phone_session WHERE id = $1),
  further AS (
    SELECT EXISTS (SELECT 1 FROM job WHERE device_id = $2 AND finished_at IS NULL
                                       AND state IN ('scheduled', 'waiting', 'deferred')) AS work),
  forgotten AS (
    UPDATE device SET knock_expires_at = NULL FROM further WHERE device.id = $2 AND NOT further.work)
  SELECT work FROM further)sql"};
constexpr Query kClose{"session_close", "DELETE FROM phone_session WHERE id = $1"};
constexpr Query kCloseOfDevice{"session_close_of_device", "DELETE FROM phone_session WHERE device_id = $1"};
constexpr Query kCountOpen{"session_count_open", R"sql(
  SELECT count(*) FROM phone_session WHERE cookie_hash = ANY($1::bytea[]) AND expires_at > now())sql"};
constexpr Query kDeleteExpired{"session_delete_expired", R"sql(
  DELETE FROM phone_session
   WHERE id IN (SELECT id FROM phone_session WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
                   FOR UPDATE SKIP LOCKED))sql"};

}  // namespace

absl::StatusOr<std::optional<SessionWork>> FindSessionForUpdate(Tx& tx, const base::Bytes& cookie_hash) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFind, cookie_hash));
  if (rows.empty()) return std::optional<SessionWork>();
  const auto& row = rows[0];
  SessionWork work;
  SessionRecord& session = work.session;
  session.id = row[0].as<std::int64_t>();
  session.device_id = row[1].as<std::int64_t>();
  session.door = row[2].as<std::string>();
  session.remote_address = row[3].as<std::string>();
  session.step = row[4].as<std::string>();
  session.fragments = row[5].as<int>();
  if (!row[6].is_null()) session.job = JobFence{row[6].as<std::int64_t>(), row[7].as<int>()};
  work.certificate_serial = ToBytes(row[8]);
  if (!row[9].is_null()) work.job = ToJob(row, 9);
  return std::optional<SessionWork>(std::move(work));
}

absl::Status OpenSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                         const std::string& reason, absl::Duration lifetime) {
  return tx
      .Execute(kOpen, cookie_hash, session.device_id, session.door, session.remote_address, reason,
               session.step, absl::ToDoubleSeconds(lifetime))
      .status();
}

absl::StatusOr<JobFence> OpenJobSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                                        std::int64_t job_id, const std::string& reason,
                                        absl::Duration lifetime, const std::string& job_reason,
                                        const std::string& text) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kOpenForJob, cookie_hash, session.device_id, session.door,
                                                 session.remote_address, reason, session.step,
                                                 absl::ToDoubleSeconds(lifetime), job_id, job_reason, text));
  if (rows.empty()) return base::NotFound("the job has been deleted");
  return JobFence{job_id, rows[0][0].as<int>()};
}

absl::Status AdvanceSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime) {
  return tx.Execute(kAdvance, session.id, session.step, session.fragments, absl::ToDoubleSeconds(lifetime))
      .status();
}

absl::Status AdvanceJobSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime,
                               const std::string& job_reason, const std::string& text) {
  return tx
      .Execute(kAdvanceForJob, session.id, session.step, session.fragments, absl::ToDoubleSeconds(lifetime),
               session.job ? session.job->attempt : 0, job_reason, text)
      .status();
}

absl::StatusOr<bool> FinishJobSession(Tx& tx, const SessionRecord& session) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFinishForJob, session.id, session.device_id));
  return rows.at(0)[0].as<bool>();
}

absl::Status CloseSession(Tx& tx, std::int64_t session_id) {
  return tx.Execute(kClose, session_id).status();
}

absl::Status CloseSessionsOfDevice(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kCloseOfDevice, device_id).status();
}

absl::StatusOr<std::int64_t> CountOpenSessions(Tx& tx, const std::vector<base::Bytes>& cookie_hashes) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCountOpen, cookie_hashes));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::StatusOr<std::int64_t> DeleteExpiredSessions(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result deleted, tx.Execute(kDeleteExpired, limit));
  return static_cast<std::int64_t>(deleted.affected_rows());
}

}  // namespace phonepki::db
