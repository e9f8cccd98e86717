// Takes due jobs in batches, has their certificates issued, and knocks at the phones. Holds neither a thread
// nor a connection while a phone takes its time: a knocked job waits in the database until the phone calls.
//
// Dying at any point loses nothing: before ArmKnocks the lease runs out and the job is claimed again (its
// certificate is found, not issued anew); after it the knock's lifetime runs out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/wake_signal.h"
#include "db/database.h"
#include "db/device_repository.h"
#include "db/job_repository.h"
#include "db/location_repository.h"
#include "provisioning/delivery/delivery_options.h"
#include "provisioning/phone/outgoing.h"
#include "provisioning/pki/issuance.h"

namespace phonepki::provisioning {

class KnockWorker {
 public:
  KnockWorker(db::Database& database, Issuance& issuance, phone::IoRuntime& io,
              const DeliveryOptions& options, std::string name);
  ~KnockWorker();

  void Start();
  // Finishes the batch in hand. Safe to call twice.
  void Stop();
  void Wake() { wake_->Wake(); }

  // One batch. Returns how many jobs were claimed.
  absl::StatusOr<int> RunOnce();

 private:
  struct FailedKnock {
    db::JobFence fence;
    int unanswered;
    absl::Status status;
  };
  // Shared with knocks under way, which may outlive the worker.
  struct Results {
    absl::Mutex mutex;
    std::vector<FailedKnock> failed ABSL_GUARDED_BY(mutex);
    int in_flight ABSL_GUARDED_BY(mutex) = 0;
  };
  struct Claimed {
    db::JobRecord job;
    db::DeviceRecord device;
    db::LocationRecord location;  // without its rules
  };

  void Run();
  int Budget();
  absl::StatusOr<std::vector<Claimed>> Claim(int limit);
  // Splits off what cannot be knocked now; its releases are appended.
  std::vector<Claimed> Sort(std::vector<Claimed> claimed, std::vector<db::JobRelease>& releases) const;
  std::vector<db::KnockOrder> Issue(const std::vector<Claimed>& claimed,
                                    std::vector<db::JobRelease>& releases);
  absl::Status Arm(const std::vector<Claimed>& claimed, const std::vector<db::KnockOrder>& orders,
                   std::vector<db::JobRelease>& releases);
  // Which server the phone is to call, as far as it is to be told.
  void NameServer(const Claimed& claimed, phone::KnockTarget& target) const;
  void SendKnock(const Claimed& claimed);
  absl::Status SettleFailures();

  db::Database& database_;
  Issuance& issuance_;
  phone::IoRuntime& io_;
  const DeliveryOptions& options_;
  const std::string name_;
  const std::shared_ptr<base::WakeSignal> wake_ = std::make_shared<base::WakeSignal>();
  const std::shared_ptr<Results> results_ = std::make_shared<Results>();
  std::int64_t after_location_ = 0;
  double tokens_ = 0;
  absl::Time refilled_;
  std::thread thread_;
};

}  // namespace phonepki::provisioning
