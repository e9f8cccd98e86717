// Jobs as the database knows them: states, the closed set of reasons, and who holds a job.
// The diagram with every transition is docs/job-states.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <absl/time/time.h>

namespace phonepki::db {

namespace job_state {
inline constexpr char kScheduled[] = "scheduled";
inline constexpr char kWaiting[] = "waiting";
inline constexpr char kRunning[] = "running";
inline constexpr char kDeferred[] = "deferred";
inline constexpr char kVerifying[] = "verifying";
inline constexpr char kSucceeded[] = "succeeded";
inline constexpr char kFailed[] = "failed";
inline constexpr char kTimedOut[] = "timed_out";
inline constexpr char kCancelled[] = "cancelled";
inline constexpr char kSuperseded[] = "superseded";
inline constexpr char kHalted[] = "halted";
}  // namespace job_state

// Stable words; the sentence beside them is for people. Reasons of a refused issuance (CA_EXPIRES_FIRST,
// SUBJECT_TAKEN, …) are passed on as they are.
namespace job_reason {
inline constexpr char kKnocked[] = "KNOCKED";
inline constexpr char kInSession[] = "IN_SESSION";
inline constexpr char kWritten[] = "WRITTEN";
inline constexpr char kReadBack[] = "READ_BACK";
inline constexpr char kVerified[] = "VERIFIED";
inline constexpr char kPhoneBusy[] = "PHONE_BUSY";
inline constexpr char kPhoneOffline[] = "PHONE_OFFLINE";
inline constexpr char kContactGap[] = "CONTACT_GAP";
inline constexpr char kSessionLost[] = "SESSION_LOST";
inline constexpr char kPhoneCleanUp[] = "PHONE_CLEAN_UP";
inline constexpr char kWriteRefused[] = "WRITE_REFUSED";
inline constexpr char kItemRejected[] = "ITEM_REJECTED";
inline constexpr char kReadBackMismatch[] = "READ_BACK_MISMATCH";
inline constexpr char kProbeMismatch[] = "PROBE_MISMATCH";
inline constexpr char kProbeUnreachable[] = "PROBE_UNREACHABLE";
inline constexpr char kDeadline[] = "DEADLINE";
inline constexpr char kCancelled[] = "CANCELLED_BY_OPERATOR";
inline constexpr char kRetried[] = "RETRIED_BY_OPERATOR";
inline constexpr char kSuperseded[] = "SUPERSEDED_BY_DEPLOYMENT";
inline constexpr char kSupersededByOperator[] = "SUPERSEDED_BY_OPERATOR";
inline constexpr char kContacted[] = "PHONE_CONTACTED";
inline constexpr char kSlotNotSupported[] = "SLOT_NOT_SUPPORTED";
inline constexpr char kAwaitingSecureContact[] = "AWAITING_SECURE_CONTACT";
inline constexpr char kAwaitingPin[] = "AWAITING_PIN";
inline constexpr char kSecureContactFailed[] = "SECURE_CONTACT_FAILED";
inline constexpr char kWrongTan[] = "WRONG_TAN";
inline constexpr char kPinExpired[] = "PIN_EXPIRED";
inline constexpr char kPinRetriesExceeded[] = "PIN_RETRIES_EXCEEDED";
inline constexpr char kAccepted[] = "ACCEPTED";
inline constexpr char kTryAgain[] = "TRY_AGAIN";
inline constexpr char kKeyErased[] = "KEY_ERASED";
inline constexpr char kNothingToDo[] = "NOTHING_TO_DO";
}  // namespace job_reason

// Proof of holding a job: (job, worker, attempt). A holder whose fence is out of date updates no row.
struct JobFence {
  std::int64_t job_id = 0;
  int attempt = 0;
};

struct JobRecord {
  std::int64_t id = 0;
  std::int64_t deployment_id = 0;  // 0: manual, for what is imported into the slot
  std::int64_t device_id = 0;
  std::int64_t location_id = 0;
  std::string mac;  // of the device
  std::string slot;
  std::string state;
  std::string reason;
  std::string reason_text;
  int attempt = 0;
  int failures = 0;
  int unanswered = 0;
  std::optional<std::int64_t> certificate_id;
  absl::Time created_at;
  absl::Time run_at;
  absl::Time deadline;
  std::optional<absl::Time> finished_at;

  bool is_manual() const { return deployment_id == 0; }
};

struct JobEventRecord {
  std::int64_t id = 0;
  std::string xact;  // transaction that settled it; orders events of a watch together with id
  std::int64_t job_id = 0;
  std::string mac;
  absl::Time at;
  std::string from_state;  // empty for the first
  std::string to_state;
  std::string reason;
  std::string reason_text;
  int attempt = 0;
};

}  // namespace phonepki::db
