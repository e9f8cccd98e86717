#include "provisioning/delivery/knock_worker.h"

#include <algorithm>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "db/deployment_repository.h"
#include "db/secure_mode_repository.h"
#include "provisioning/delivery/secure_enrolment.h"

namespace phonepki::provisioning {
namespace {

db::JobFence FenceOf(const db::JobRecord& job) {
  return {job.id, job.attempt};
}

}  // namespace

KnockWorker::KnockWorker(db::Database& database, Issuance& issuance, phone::IoRuntime& io,
                         const DeliveryOptions& options, std::string name)
    : database_(database),
      issuance_(issuance),
      io_(io),
      options_(options),
      name_(std::move(name)),
      tokens_(options.knock_rate),
      refilled_(absl::Now()) {}

KnockWorker::~KnockWorker() {
  Stop();
}

void KnockWorker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void KnockWorker::Stop() {
  wake_->Stop();
  if (thread_.joinable()) thread_.join();
}

void KnockWorker::Run() {
  absl::Duration wait = absl::ZeroDuration();
  while (wake_->WaitFor(wait)) {
    absl::StatusOr<int> claimed = RunOnce();
    if (!claimed.ok()) {
      base::LogWarn("knock_worker_failed", {{"error", claimed.status()}});
      wait = options_.poll;
    } else {
      wait = *claimed > 0 ? absl::ZeroDuration() : options_.poll;
    }
    if (Budget() <= 0) wait = absl::Milliseconds(20);
  }
}

int KnockWorker::Budget() {
  const absl::Time now = absl::Now();
  tokens_ = std::min(tokens_ + options_.knock_rate * absl::ToDoubleSeconds(now - refilled_),
                     std::max(1.0, options_.knock_rate));
  refilled_ = now;
  absl::MutexLock lock(&results_->mutex);
  return std::min(
      {options_.batch, options_.knock_concurrency - results_->in_flight, static_cast<int>(tokens_)});
}

absl::StatusOr<int> KnockWorker::RunOnce() {
  RETURN_IF_ERROR(SettleFailures());
  const int budget = Budget();
  if (budget <= 0) return 0;
  ASSIGN_OR_RETURN(std::vector<Claimed> claimed, Claim(budget));
  const int count = static_cast<int>(claimed.size());
  if (count == 0) return 0;
  std::vector<db::JobRelease> releases;
  const std::vector<Claimed> callable = Sort(std::move(claimed), releases);
  const std::vector<db::KnockOrder> orders = Issue(callable, releases);
  RETURN_IF_ERROR(Arm(callable, orders, releases));
  return count;
}

absl::StatusOr<std::vector<KnockWorker::Claimed>> KnockWorker::Claim(int limit) {
  std::vector<Claimed> claimed;
  RETURN_IF_ERROR(database_.InTransaction("knock_claim", [&](db::Tx& tx) -> absl::Status {
    claimed.clear();
    ASSIGN_OR_RETURN(auto jobs, db::ClaimDueKnocks(tx, {name_, limit, options_.lease, after_location_}));
    std::vector<std::int64_t> ids;
    for (const db::JobRecord& job : jobs) ids.push_back(job.device_id);
    if (jobs.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(auto devices, db::GetDevices(tx, ids));
    absl::flat_hash_map<std::int64_t, db::DeviceRecord> by_id;
    for (db::DeviceRecord& device : devices) by_id[device.id] = std::move(device);
    std::vector<std::int64_t> places;
    for (const auto& [id, device] : by_id) places.push_back(device.location_id);
    ASSIGN_OR_RETURN(auto locations, db::GetLocationsWithoutRules(tx, places));
    absl::flat_hash_map<std::int64_t, db::LocationRecord> places_by_id;
    for (db::LocationRecord& location : locations) places_by_id[location.id] = std::move(location);
    for (db::JobRecord& job : jobs) {
      const db::DeviceRecord& device = by_id[job.device_id];
      claimed.push_back({job, device, places_by_id[device.location_id]});
    }
    return absl::OkStatus();
  }));
  if (!claimed.empty()) after_location_ = claimed.back().job.location_id;
  return claimed;
}

std::vector<KnockWorker::Claimed> KnockWorker::Sort(std::vector<Claimed> claimed,
                                                    std::vector<db::JobRelease>& releases) const {
  using db::job_reason::kPhoneOffline;
  using db::job_reason::kSessionLost;
  std::vector<Claimed> callable;
  absl::flat_hash_set<std::int64_t> devices;
  for (Claimed& item : claimed) {
    const db::JobRecord& job = item.job;
    const absl::StatusOr<const CertificateSlot*> slot =
        options_.slots->ForDevice(job.slot, item.device.device_type, item.device.software_version);
    if (!slot.ok()) {
      releases.push_back({FenceOf(job), db::job_state::kFailed, db::job_reason::kSlotNotSupported,
                          std::string(slot.status().message())});
    } else if (job.state == db::job_state::kRunning && job.reason == db::job_reason::kWritten &&
               (*slot)->proof == CertificateSlot::Proof::kProbe) {
      // The phone accepted the certificate and the session broke off before the read-back: the probe will
      // tell.
      releases.push_back(
          {FenceOf(job), db::job_state::kVerifying, kSessionLost,
           "the session broke off after the write; the phone's web server is to be looked at"});
    } else if (job.state == db::job_state::kRunning && job.reason == db::job_reason::kAwaitingPin) {
      releases.push_back({FenceOf(job), db::job_state::kVerifying, db::job_reason::kAwaitingPin,
                          "the session broke off before the TAN; the phone will call again",
                          WaitForPin(job)});
    } else if (job.state == db::job_state::kRunning) {
      db::JobRelease release{FenceOf(job),
                             db::job_state::kDeferred,
                             kSessionLost,
                             "the session broke off",
                             BackOff(options_, job.failures),
                             1};
      if (job.failures + 1 >= options_.max_failures) release.state = db::job_state::kFailed;
      releases.push_back(release);
    } else if (job.state == db::job_state::kWaiting) {
      db::JobRelease release{FenceOf(job), db::job_state::kDeferred, kPhoneOffline,
                             "the phone was asked to call and did not", BackOff(options_, job.unanswered)};
      release.unanswered = db::JobRelease::Unanswered::kRaise;
      releases.push_back(release);
    } else if (item.device.ip_address.empty()) {
      // A virtual device: its first contact makes the job due at once.
      releases.push_back({FenceOf(job), db::job_state::kDeferred, kPhoneOffline,
                          "the phone has never been in contact", absl::Hours(24)});
    } else if (!devices.insert(job.device_id).second) {
      releases.push_back({FenceOf(job), job.state, job.reason, job.reason_text, options_.knock_lifetime});
    } else {
      callable.push_back(std::move(item));
    }
  }
  return callable;
}

std::vector<db::KnockOrder> KnockWorker::Issue(const std::vector<Claimed>& claimed,
                                               std::vector<db::JobRelease>& releases) {
  std::vector<CertificateOrder> orders;
  std::vector<std::size_t> ordering;  // orders[i] is of claimed[ordering[i]]
  absl::flat_hash_map<std::int64_t, db::DeploymentRecord> deployments;
  absl::Status looked_up = database_.InTransaction("knock_deployments", [&](db::Tx& tx) -> absl::Status {
    for (const Claimed& item : claimed) {
      if (!item.job.is_manual() && !deployments.contains(item.job.deployment_id)) {
        ASSIGN_OR_RETURN(deployments[item.job.deployment_id], db::FindDeployment(tx, item.job.deployment_id));
      }
    }
    return absl::OkStatus();
  });
  // CA certificates need none of their own; what is imported by hand is there already.
  std::vector<absl::StatusOr<std::int64_t>> certificates(claimed.size(), 0);
  if (looked_up.ok()) {
    for (std::size_t i = 0; i < claimed.size(); ++i) {
      const Claimed& item = claimed[i];
      const CertificateSlot& slot = *options_.slots->Find(item.job.slot);
      if (slot.holds != CertificateSlot::Holds::kCertificate) continue;
      if (item.job.is_manual()) {
        certificates[i] = item.job.certificate_id.value_or(0);
        continue;
      }
      ordering.push_back(i);
      orders.push_back({item.device.id,
                        item.job.slot,
                        slot.profile,
                        FenceOf(item.job),
                        deployments[item.job.deployment_id].connector_id,
                        {item.device.mac, item.device.ip_address, item.device.fqdn, item.device.e164,
                         item.location.display_name}});
    }
    std::vector<absl::StatusOr<std::int64_t>> issued = issuance_.IssueBatch(orders);
    for (std::size_t i = 0; i < issued.size(); ++i) certificates[ordering[i]] = std::move(issued[i]);
  } else {
    certificates.assign(claimed.size(), looked_up);
  }
  std::vector<db::KnockOrder> knocks;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    const db::JobRecord& job = claimed[i].job;
    if (certificates[i].ok()) {
      knocks.push_back({FenceOf(job), claimed[i].device.id, *certificates[i]});
      continue;
    }
    const absl::Status& status = certificates[i].status();
    const bool passing =
        absl::IsUnavailable(status) || absl::IsAborted(status) || absl::IsDeadlineExceeded(status);
    const std::string reason =
        base::ReasonOf(status).empty() ? db::job_reason::kTryAgain : base::ReasonOf(status);
    // The text of an internal error belongs into the log, not into a job.
    const std::string text =
        absl::IsInternal(status) ? "issuing failed; see the log" : std::string(status.message());
    if (absl::IsInternal(status)) base::LogError("issuance_failed", {{"job", job.id}, {"error", status}});
    releases.push_back({FenceOf(job), passing ? job.state : db::job_state::kFailed, reason, text,
                        passing ? BackOff(options_, job.failures) : absl::ZeroDuration()});
  }
  return knocks;
}

absl::Status KnockWorker::Arm(const std::vector<Claimed>& claimed, const std::vector<db::KnockOrder>& orders,
                              std::vector<db::JobRelease>& releases) {
  absl::flat_hash_set<std::int64_t> armed;
  RETURN_IF_ERROR(database_.InTransaction("knock_arm", [&](db::Tx& tx) -> absl::Status {
    std::vector<db::JobRelease> all = releases;
    armed.clear();
    if (!orders.empty()) {
      ASSIGN_OR_RETURN(std::vector<std::int64_t> ids,
                       db::ArmKnocks(tx, orders, options_.knock_lifetime, options_.contact_gap));
      armed.insert(ids.begin(), ids.end());
    }
    for (const Claimed& item : claimed) {
      const bool ordered = std::any_of(orders.begin(), orders.end(), [&](const db::KnockOrder& order) {
        return order.fence.job_id == item.job.id;
      });
      if (!ordered || armed.contains(item.job.id)) continue;
      // Within the contact gap the phone would ignore us, and knocking too often crashes it (wpi.md 1.5).
      const absl::Duration since =
          item.device.knocked_at ? absl::Now() - *item.device.knocked_at : absl::ZeroDuration();
      const absl::Duration wait =
          std::clamp(options_.contact_gap - since, absl::Milliseconds(200), options_.contact_gap);
      all.push_back({FenceOf(item.job), item.job.state, db::job_reason::kContactGap,
                     absl::StrCat("may be knocked at again in ",
                                  absl::FormatDuration(absl::Ceil(wait, absl::Seconds(1)))),
                     wait});
    }
    if (all.empty()) return absl::OkStatus();
    return db::ReleaseJobs(tx, all).status();
  }));
  for (const Claimed& item : claimed) {
    if (armed.contains(item.job.id)) SendKnock(item);
  }
  return absl::OkStatus();
}

void KnockWorker::NameServer(const Claimed& claimed, phone::KnockTarget& target) const {
  const bool secure = claimed.device.security_state == db::security_state::kSecure;
  if (options_.advertise == Advertise::kNone) return;
  if (secure && options_.advertise != Advertise::kAll) return;
  const db::LocationServer& server = claimed.location.server;
  target.dls_address = server.address.empty() ? options_.advertise_address : server.address;
  const int own_port = secure ? server.secure_port : server.port;
  if (own_port != 0) {
    target.dls_port = own_port;
  } else {
    target.dls_port = secure ? options_.secure_port : options_.advertise_port;
  }
}

void KnockWorker::SendKnock(const Claimed& claimed) {
  tokens_ -= 1;
  {
    absl::MutexLock lock(&results_->mutex);
    ++results_->in_flight;
  }
  const auto done = [results = results_, wake = wake_, fence = FenceOf(claimed.job),
                     unanswered = claimed.job.unanswered](absl::Status status) {
    absl::MutexLock lock(&results->mutex);
    --results->in_flight;
    if (!status.ok()) {
      results->failed.push_back({fence, unanswered, std::move(status)});
      wake->Wake();
    }
  };
  absl::StatusOr<phone::KnockTarget> target =
      phone::ParseContactMeUri(claimed.device.contact_me_uri, claimed.device.ip_address);
  if (!target.ok()) return done(target.status());
  NameServer(claimed, *target);
  phone::Knock(io_, *target, options_.knock_timeout, done);
}

absl::Status KnockWorker::SettleFailures() {
  std::vector<FailedKnock> failed;
  {
    absl::MutexLock lock(&results_->mutex);
    failed.swap(results_->failed);
  }
  if (failed.empty()) return absl::OkStatus();
  std::vector<db::JobFence> fences;
  std::vector<absl::Duration> delays;
  std::vector<std::string> texts;
  for (const FailedKnock& knock : failed) {
    fences.push_back(knock.fence);
    delays.push_back(BackOff(options_, knock.unanswered));
    texts.push_back(std::string(knock.status.message()));
  }
  absl::Status settled = database_.InTransaction("knock_failed", [&](db::Tx& tx) {
    return db::KnockFailed(tx, fences, delays, texts, options_.min_knock_interval);
  });
  if (!settled.ok()) {
    // The knock's lifetime will end the wait instead; trying again soon is better.
    absl::MutexLock lock(&results_->mutex);
    results_->failed.insert(results_->failed.end(), failed.begin(), failed.end());
  }
  return settled;
}

}  // namespace phonepki::provisioning
