// Phone sessions. A session is not a connection: it lives here, found by the digest of its cookie, so that
// any replica can go on with it after a restart or on another connection (design.md 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"
#include "db/job_record.h"

namespace phonepki::db {

namespace session_step {
inline constexpr char kInventory[] = "inventory";  // ReadAllItems sent, its fragments arrive
inline constexpr char kWrite[] = "write";          // WriteItems sent
inline constexpr char kReadBack[] = "read_back";   // ReadItems of the -info item sent
inline constexpr char kTan[] = "tan";              // ReadItems of bootstrapping-tan sent
}  // namespace session_step

struct SessionRecord {
  std::int64_t id = 0;
  std::int64_t device_id = 0;
  std::string door;  // default, secure
  std::string remote_address;
  std::string step;
  int fragments = 0;
  std::optional<JobFence> job;
};

// A session and what it delivers; both rows are locked until the transaction ends.
struct SessionWork {
  SessionRecord session;
  std::optional<JobRecord> job;    // nothing when it was cancelled, superseded or timed out meanwhile
  base::Bytes certificate_serial;  // of the job's certificate
};

// Nothing when there is none or it has expired.
absl::StatusOr<std::optional<SessionWork>> FindSessionForUpdate(Tx& tx, const base::Bytes& cookie_hash);
// Replaces whatever session the device had.
absl::Status OpenSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                         const std::string& reason, absl::Duration lifetime);
// The same for a delivery: takes the job up, with the reason that it is to show; its new attempt is the fence
// of the session.
absl::StatusOr<JobFence> OpenJobSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                                        std::int64_t job_id, const std::string& reason,
                                        absl::Duration lifetime, const std::string& job_reason,
                                        const std::string& text);
// Next step; the lifetime starts anew.
absl::Status AdvanceSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime);
// The same for a delivery, with the reason that its job is to show.
absl::Status AdvanceJobSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime,
                               const std::string& job_reason, const std::string& text);
// Ends a session whose job has been released. True when the device has work for a further session; otherwise
// the knock that caused this one is used up.
absl::StatusOr<bool> FinishJobSession(Tx& tx, const SessionRecord& session);
absl::Status CloseSession(Tx& tx, std::int64_t session_id);
absl::Status CloseSessionsOfDevice(Tx& tx, std::int64_t device_id);
// How many of the sessions with these cookies are still open.
absl::StatusOr<std::int64_t> CountOpenSessions(Tx& tx, const std::vector<base::Bytes>& cookie_hashes);
// At most `limit`; returns how many went. Their jobs come back through their own run_at.
absl::StatusOr<std::int64_t> DeleteExpiredSessions(Tx& tx, int limit);

}  // namespace phonepki::db
