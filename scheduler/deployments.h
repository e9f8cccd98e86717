// Automatic certificate deployments (B-054 to B-058): activation, and the clockwork that turns due rules into
// jobs.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/wake_signal.h"
#include "db/database.h"
#include "db/deployment_repository.h"

namespace phonepki::scheduler {

// B-003: kFailedPrecondition CONNECTOR_DISABLED, PLUGIN_DISABLED, CA_DISABLED.
absl::Status CheckConnectorUsable(db::Tx& tx, std::int64_t connector_id);
// Activate Certificate / PKI Configuration (B-057). kFailedPrecondition as CheckConnectorUsable, and
// DEPLOYMENT_SUPERSEDED.
absl::Status ActivateDeployment(db::Tx& tx, std::int64_t id);
// After a halt. `retry_failed`: failed and timed-out jobs go again, and the wave is judged by what becomes of
// them; otherwise its failures are accepted. Returns how many jobs go again. kFailedPrecondition
// DEPLOYMENT_NOT_HALTED.
absl::StatusOr<std::int64_t> ResumeDeployment(db::Tx& tx, std::int64_t id, bool retry_failed);
// Returns how many jobs were cancelled.
absl::StatusOr<std::int64_t> DeactivateDeployment(db::Tx& tx, std::int64_t id, bool cancel_jobs);

// What must happen by the clock, on every replica; the database sees to it that it happens once: deployments
// start at their date and go on wave by wave, jobs past their deadline end, expired sessions and PINs go.
class Clockwork {
 public:
  // `on_started` is called after jobs were created.
  Clockwork(db::Database& database, absl::Duration poll, std::function<void()> on_started)
      : database_(database), poll_(poll), on_started_(std::move(on_started)) {}
  ~Clockwork() { Stop(); }

  void Start();
  void Stop();
  void Wake() { wake_.Wake(); }
  absl::Status RunOnce();

 private:
  void Run();
  absl::StatusOr<std::int64_t> StartDueDeployments();
  absl::StatusOr<std::int64_t> StartDueWaves();

  db::Database& database_;
  const absl::Duration poll_;
  const std::function<void()> on_started_;
  base::WakeSignal wake_;
  std::thread thread_;
};

}  // namespace phonepki::scheduler
