// The job queue: claims with leases and fences, transitions, job control. Every statement that ends a
// holder's work compares (id, attempt); every state change is recorded in job_event by the database itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"
#include "db/job_record.h"

namespace phonepki::db {

struct ClaimParams {
  std::string worker;  // names the process and thread, for people
  int limit = 50;
  absl::Duration lease = absl::Minutes(1);
  std::int64_t after_location = 0;  // claims start behind this location and go round
};

// What to do with a job that its holder lets go.
struct JobRelease {
  JobFence fence;
  std::string state;
  std::string reason;
  std::string reason_text;
  absl::Duration delay = absl::ZeroDuration();  // until run_at
  int add_failures = 0;
  // How `unanswered` changes: kept, raised by one (a knock without a call), or reset.
  enum class Unanswered { kKeep, kRaise, kReset } unanswered = Unanswered::kKeep;
};

// Jobs of phones to be knocked at whose time has come: scheduled, deferred, waiting in vain, or in a session
// that broke off. Fair over locations, within their max_sessions; others skip what is locked. In the order of
// the visit: the location of the last one is where the next claim goes on.
absl::StatusOr<std::vector<JobRecord>> ClaimDueKnocks(Tx& tx, const ClaimParams& params);
// Jobs whose phone is to be probed.
absl::StatusOr<std::vector<JobRecord>> ClaimDueProbes(Tx& tx, const ClaimParams& params);

struct KnockOrder {
  JobFence fence;
  std::int64_t device_id = 0;
  std::int64_t certificate_id = 0;  // 0: none, as for CA certificates
};
// The moment before a knock: the device's contact gap is taken and the job waits for the call. Returns the
// jobs that may really be knocked; the others are still held (gap not over, or fence lost).
absl::StatusOr<std::vector<std::int64_t>> ArmKnocks(Tx& tx, const std::vector<KnockOrder>& orders,
                                                    absl::Duration lifetime, absl::Duration contact_gap);
// A phone that cannot be knocked at asks whether work waits for it, from `address`. When it does, and that is
// the address of the phone's last call, this is its knock, as ArmKnocks would make it, unless it has one
// already: the job waits for the call. From elsewhere it only learns the answer, so that a stranger has to
// call first, which is noted. False for phones that are not registered or desynchronised, while a worker
// holds the job, while it is put off for another reason than that the phone was not reached, and while the
// location has no session to spare.
absl::StatusOr<bool> AnswerPoll(Tx& tx, const std::string& mac, const std::string& address,
                                absl::Duration lifetime, absl::Duration contact_gap);
// Lets held jobs go. Final states set finished_at. Jobs whose fence is lost are left alone. Returns the ids
// changed.
absl::StatusOr<std::vector<std::int64_t>> ReleaseJobs(Tx& tx, const std::vector<JobRelease>& releases);
// A knock that reached nobody: the job is deferred as offline when it still waits for that very knock, and
// the device may be knocked at again after `min_interval`. delays[i] belongs to fences[i].
absl::Status KnockFailed(Tx& tx, const std::vector<JobFence>& fences,
                         const std::vector<absl::Duration>& delays, const std::vector<std::string>& texts,
                         absl::Duration min_interval);

// The job to serve in a session of this device: unfinished, not being verified, not held by a worker. Locked.
absl::StatusOr<std::optional<JobRecord>> FindJobForSession(Tx& tx, std::int64_t device_id);
// The unfinished job for that slot, whoever holds it; locked.
absl::StatusOr<std::optional<JobRecord>> FindEnrolmentJob(Tx& tx, std::int64_t device_id,
                                                          const std::string& slot);
absl::Status SetJobCertificate(Tx& tx, const JobFence& fence, std::int64_t certificate_id);
// A busy phone will call by itself: the session it opens until then counts as caused by us.
absl::Status ExtendKnock(Tx& tx, std::int64_t device_id, absl::Duration lifetime);
absl::Status ForgetKnock(Tx& tx, std::int64_t device_id);
// Makes offline-deferred and scheduled jobs of a phone that just showed itself due at once. Returns how many.
absl::StatusOr<std::int64_t> HastenJobs(Tx& tx, std::int64_t device_id);
// Ends what is past its deadline. At most `limit`; returns how many.
absl::StatusOr<std::int64_t> TimeOutJobs(Tx& tx, int limit);

// Job control.
struct JobFilter {
  std::optional<std::int64_t> deployment_id = {};
  std::optional<std::int64_t> device_id = {};
  std::vector<std::string> states = {};  // empty = any
  std::string reason = {};
};
absl::StatusOr<JobRecord> GetJob(Tx& tx, std::int64_t id);  // kNotFound
absl::StatusOr<std::vector<JobRecord>> ListJobs(Tx& tx, const JobFilter& filter, std::int64_t before,
                                                int limit);
absl::StatusOr<std::vector<JobEventRecord>> ListJobEvents(Tx& tx, std::int64_t job_id);
// False when the job is final already.
absl::StatusOr<bool> CancelJob(Tx& tx, std::int64_t id, const std::string& text);
absl::StatusOr<std::int64_t> CancelJobsOfDeployment(Tx& tx, std::int64_t deployment_id,
                                                    const std::string& text);
absl::StatusOr<std::int64_t> CancelJobsOfDevice(Tx& tx, std::int64_t device_id, const std::string& text);
// Failed, timed-out and cancelled jobs go back to scheduled with a fresh deadline, unless the phone has
// another unfinished job for the slot by now.
absl::StatusOr<bool> RetryJob(Tx& tx, std::int64_t id);
absl::StatusOr<std::int64_t> RetryFailedJobs(Tx& tx, std::int64_t deployment_id);

// Events settled since the cursor ("xact:id"; empty = the end of what is settled now), in order.
struct JobEventPage {
  std::vector<JobEventRecord> events;
  std::string cursor;
};
absl::StatusOr<JobEventPage> ReadJobEvents(Tx& tx, std::optional<std::int64_t> deployment_id,
                                           const std::string& cursor, int limit);

}  // namespace phonepki::db
