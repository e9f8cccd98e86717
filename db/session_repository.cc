#include "db/session_repository.h"

#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr Query kFind{"session_find_for_update", R"sql(
  SELECT id, device_id, door, host(remote_address), step, fragments, job_id, job_attempt
    FROM phone_session WHERE cookie_hash = $1 AND expires_at > now() FOR UPDATE)sql"};
constexpr Query kOpen{"session_open", R"sql(
  INSERT INTO phone_session (cookie_hash, device_id, door, remote_address, reason, step, job_id, job_attempt,
                             expires_at)
  VALUES ($1, $2, $3, $4::inet, $5, $6, $7, $8, now() + make_interval(secs => $9::float8))
      ON CONFLICT (device_id) DO UPDATE
     SET cookie_hash = excluded.cookie_hash, door = excluded.door, remote_address = excluded.remote_address,
         reason = excluded.reason, step = excluded.step, fragments = 0, job_id = excluded.job_id,
         job_attempt = excluded.job_attempt, started_at = now(), expires_at = excluded.expires_at)sql"};
constexpr Query kAdvance{"session_advance", R"sql(
  UPDATE phone_session SET step = $2, fragments = $3, expires_at = now() + make_interval(secs => $4::float8)
   WHERE id = $1)sql"};
constexpr Query kClose{"session_close", "DELETE FROM phone_session WHERE id = $1"};
constexpr Query kCloseOfDevice{"session_close_of_device", "DELETE FROM phone_session WHERE device_id = $1"};
constexpr Query kDeleteExpired{"session_delete_expired", R"sql(
  DELETE FROM phone_session
   WHERE id IN (SELECT id FROM phone_session WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
                   FOR UPDATE SKIP LOCKED))sql"};

}  // namespace

absl::StatusOr<std::optional<SessionRecord>> FindSessionForUpdate(Tx& tx, const base::Bytes& cookie_hash) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFind, cookie_hash));
  if (rows.empty()) return std::optional<SessionRecord>();
  const auto& row = rows[0];
  SessionRecord session;
  session.id = row[0].as<std::int64_t>();
  session.device_id = row[1].as<std::int64_t>();
  session.door = row[2].as<std::string>();
  session.remote_address = row[3].as<std::string>();
  session.step = row[4].as<std::string>();
  session.fragments = row[5].as<int>();
  if (!row[6].is_null()) session.job = JobFence{row[6].as<std::int64_t>(), row[7].as<int>()};
  return std::optional<SessionRecord>(std::move(session));
}

absl::Status OpenSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                         const std::string& reason, absl::Duration lifetime) {
  std::optional<std::int64_t> job_id;
  std::optional<int> attempt;
  if (session.job) {
    job_id = session.job->job_id;
    attempt = session.job->attempt;
  }
  return tx
      .Execute(kOpen, cookie_hash, session.device_id, session.door, session.remote_address, reason,
               session.step, job_id, attempt, absl::ToDoubleSeconds(lifetime))
      .status();
}

absl::Status AdvanceSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime) {
  return tx.Execute(kAdvance, session.id, session.step, session.fragments, absl::ToDoubleSeconds(lifetime))
      .status();
}

absl::Status CloseSession(Tx& tx, std::int64_t session_id) {
  return tx.Execute(kClose, session_id).status();
}

absl::Status CloseSessionsOfDevice(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kCloseOfDevice, device_id).status();
}

absl::StatusOr<std::int64_t> DeleteExpiredSessions(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result deleted, tx.Execute(kDeleteExpired, limit));
  return static_cast<std::int64_t>(deleted.affected_rows());
}

}  // namespace phonepki::db
