// Verification: does the phone's own web server present the certificate that was written? Only then is a job
// succeeded, the slot's active certificate changed, and the phone's private key erased from the server.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "base/wake_signal.h"
#include "db/database.h"
#include "db/job_repository.h"
#include "provisioning/delivery/delivery_options.h"
#include "provisioning/phone/outgoing.h"

namespace phonepki::provisioning {

class ProbeWorker {
 public:
  ProbeWorker(db::Database& database, phone::IoRuntime& io, const DeliveryOptions& options, std::string name);
  ~ProbeWorker();

  void Start();
  // Safe to call twice. Probes under way are forgotten; their jobs are probed again when the lease runs out.
  void Stop();
  void Wake() { wake_->Wake(); }

  // Settles what is known, starts what is due. Returns how much of both there was.
  absl::StatusOr<int> RunOnce();

 private:
  struct Probed {
    db::JobRecord job;
    absl::Status status;  // kFailedPrecondition: another certificate is served
  };
  struct Results {
    absl::Mutex mutex;
    std::vector<Probed> done ABSL_GUARDED_BY(mutex);
    int in_flight ABSL_GUARDED_BY(mutex) = 0;
  };

  void Run();
  absl::StatusOr<int> StartProbes();
  absl::StatusOr<int> Settle();
  // Nothing to look at: the phone has to call.
  bool ProvedByContact(const db::JobRecord& job) const;
  db::JobRelease Verdict(const Probed& probed) const;

  db::Database& database_;
  phone::IoRuntime& io_;
  const DeliveryOptions& options_;
  const std::string name_;
  const std::shared_ptr<base::WakeSignal> wake_ = std::make_shared<base::WakeSignal>();
  const std::shared_ptr<Results> results_ = std::make_shared<Results>();
  std::thread thread_;
};

}  // namespace phonepki::provisioning
