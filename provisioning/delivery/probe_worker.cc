#include "provisioning/delivery/probe_worker.h"

#include <algorithm>
#include <map>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/certificate_repository.h"
#include "db/device_repository.h"

namespace phonepki::provisioning {
namespace {

// Lets results and due jobs gather into sets; nobody waits for a verdict that closely.
constexpr absl::Duration kBreath = absl::Milliseconds(50);

}  // namespace

ProbeWorker::ProbeWorker(db::Database& database, phone::IoRuntime& io, const DeliveryOptions& options,
                         std::string name)
    : database_(database), io_(io), options_(options), name_(std::move(name)) {}

ProbeWorker::~ProbeWorker() {
  Stop();
}

void ProbeWorker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ProbeWorker::Stop() {
  wake_->Stop();
  if (thread_.joinable()) thread_.join();
}

void ProbeWorker::Run() {
  absl::Duration wait = absl::ZeroDuration();
  while (wake_->WaitFor(wait)) {
    absl::StatusOr<int> worked = RunOnce();
    if (!worked.ok()) base::LogWarn("probe_worker_failed", {{"error", worked.status()}});
    const bool busy = worked.ok() && *worked > 0;
    if (busy) wake_->Rest(kBreath);
    wait = busy ? absl::ZeroDuration() : options_.poll;
  }
}

absl::StatusOr<int> ProbeWorker::RunOnce() {
  ASSIGN_OR_RETURN(int settled, Settle());
  ASSIGN_OR_RETURN(int started, StartProbes());
  return settled + started;
}

absl::StatusOr<int> ProbeWorker::StartProbes() {
  int room = 0;
  {
    absl::MutexLock lock(&results_->mutex);
    room = std::min(options_.batch, options_.probe_concurrency - results_->in_flight);
  }
  if (room <= 0) return 0;
  std::vector<db::JobRecord> jobs;
  absl::flat_hash_map<std::int64_t, std::string> addresses;
  absl::flat_hash_map<std::int64_t, base::Bytes> digests;
  RETURN_IF_ERROR(database_.InTransaction("probe_claim", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(jobs, db::ClaimDueProbes(tx, {name_, room, options_.lease}));
    if (jobs.empty()) return absl::OkStatus();
    std::vector<std::int64_t> device_ids, certificate_ids;
    for (const db::JobRecord& job : jobs) {
      device_ids.push_back(job.device_id);
      certificate_ids.push_back(job.certificate_id.value_or(0));
    }
    ASSIGN_OR_RETURN(auto devices, db::GetDevices(tx, device_ids));
    ASSIGN_OR_RETURN(auto certificates, db::GetCertificates(tx, certificate_ids));
    for (const db::DeviceRecord& device : devices) addresses[device.id] = device.ip_address;
    for (const db::CertificateRecord& certificate : certificates)
      digests[certificate.id] = certificate.sha256;
    return absl::OkStatus();
  }));
  for (const db::JobRecord& job : jobs) {
    absl::MutexLock lock(&results_->mutex);
    if (ProvedByContact(job)) {
      results_->done.push_back(
          {job, absl::DeadlineExceededError("the phone has not called the secure door")});
    } else {
      ++results_->in_flight;
    }
  }
  for (const db::JobRecord& job : jobs) {
    if (ProvedByContact(job)) continue;
    phone::Probe(io_, addresses[job.device_id], options_.probe_port, options_.probe_timeout,
                 [results = results_, wake = wake_, job,
                  expected = digests[job.certificate_id.value_or(0)]](phone::ProbeResult result) {
                   Probed probed{job, result.status};
                   if (result.status.ok() && ca::Sha256(result.leaf_der) != expected) {
                     probed.status =
                         absl::FailedPreconditionError("the phone's web server presents another certificate");
                   }
                   absl::MutexLock lock(&results->mutex);
                   --results->in_flight;
                   results->done.push_back(std::move(probed));
                   wake->Wake();
                 });
  }
  return static_cast<int>(jobs.size());
}

bool ProbeWorker::ProvedByContact(const db::JobRecord& job) const {
  const CertificateSlot* slot = options_.slots->Find(job.slot);
  return slot != nullptr && slot->proof == CertificateSlot::Proof::kSecureContact;
}

db::JobRelease ProbeWorker::Verdict(const Probed& probed) const {
  const db::JobRecord& job = probed.job;
  db::JobRelease release{
      {job.id, job.attempt}, db::job_state::kVerifying, "", std::string(probed.status.message())};
  release.unanswered = db::JobRelease::Unanswered::kRaise;
  if (probed.status.ok()) {
    release.state = db::job_state::kSucceeded;
    release.reason = db::job_reason::kVerified;
    release.reason_text = "the phone's web server presents the new certificate";
    release.unanswered = db::JobRelease::Unanswered::kReset;
  } else if (ProvedByContact(job)) {
    release.reason = db::job_reason::kSecureContactFailed;
    release.reason_text += "; it is given its credentials again";
    release.unanswered = db::JobRelease::Unanswered::kReset;
    release.state = db::job_state::kDeferred;  // as with one that is off, only the deadline ends it
  } else if (!absl::IsFailedPrecondition(probed.status)) {
    // Off or out of reach is no failure before the deadline.
    release.reason = db::job_reason::kProbeUnreachable;
    release.delay =
        job.unanswered < options_.probe_attempts ? options_.probe_retry : BackOff(options_, job.unanswered);
  } else {
    release.reason = db::job_reason::kProbeMismatch;
    release.delay = options_.probe_retry;
    if (job.unanswered + 1 >= options_.probe_attempts) {
      // Write it again, a few times; then a person must look.
      release.add_failures = 1;
      release.unanswered = db::JobRelease::Unanswered::kReset;
      release.delay = BackOff(options_, job.failures);
      release.state =
          job.failures + 1 >= options_.max_failures ? db::job_state::kFailed : db::job_state::kDeferred;
    }
  }
  return release;
}

absl::StatusOr<int> ProbeWorker::Settle() {
  std::vector<Probed> done;
  {
    absl::MutexLock lock(&results_->mutex);
    done.swap(results_->done);
  }
  if (done.empty()) return 0;
  // Rows are locked in one order everywhere, so that two replicas cannot deadlock.
  std::sort(done.begin(), done.end(), [](const Probed& a, const Probed& b) { return a.job.id < b.job.id; });
  std::vector<db::JobRelease> releases;
  for (const Probed& probed : done) releases.push_back(Verdict(probed));
  absl::Status settled = database_.InTransaction("probe_settle", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<std::int64_t> released, db::ReleaseJobs(tx, releases));
    const absl::flat_hash_set<std::int64_t> held(released.begin(), released.end());
    std::map<std::string, std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>>
        verified;  // by slot
    for (const Probed& probed : done) {
      if (!probed.status.ok() || !held.contains(probed.job.id)) continue;
      auto& [devices, certificates] = verified[probed.job.slot];
      devices.push_back(probed.job.device_id);
      certificates.push_back(probed.job.certificate_id.value_or(0));
    }
    for (const auto& [slot, pairs] : verified) {
      RETURN_IF_ERROR(db::ActivateCertificates(tx, pairs.first, slot, pairs.second, options_.erase_keys));
    }
    return absl::OkStatus();
  });
  if (!settled.ok()) {
    absl::MutexLock lock(&results_->mutex);
    results_->done.insert(results_->done.end(), std::make_move_iterator(done.begin()),
                          std::make_move_iterator(done.end()));
    return settled;
  }
  return static_cast<int>(done.size());
}

}  // namespace phonepki::provisioning
