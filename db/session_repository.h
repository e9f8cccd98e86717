// Phone sessions. A session is not a connection: it lives here, found by the digest of its cookie, so that
// any replica can go on with it after a restart or on another connection (design.md 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

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

// Locked until the transaction ends. Nothing when there is none or it has expired.
absl::StatusOr<std::optional<SessionRecord>> FindSessionForUpdate(Tx& tx, const base::Bytes& cookie_hash);
// Replaces whatever session the device had.
absl::Status OpenSession(Tx& tx, const base::Bytes& cookie_hash, const SessionRecord& session,
                         const std::string& reason, absl::Duration lifetime);
// Next step; the lifetime starts anew.
absl::Status AdvanceSession(Tx& tx, const SessionRecord& session, absl::Duration lifetime);
absl::Status CloseSession(Tx& tx, std::int64_t session_id);
absl::Status CloseSessionsOfDevice(Tx& tx, std::int64_t device_id);
// At most `limit`; returns how many went. Their jobs come back through their own run_at.
absl::StatusOr<std::int64_t> DeleteExpiredSessions(Tx& tx, int limit);

}  // namespace phonepki::db
