#include "scheduler/deployments.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "db/internal_ca_repository.h"
#include "db/job_repository.h"
#include "db/location_repository.h"
#include "db/plugin_repository.h"
#include "db/secure_mode_repository.h"
#include "db/session_repository.h"

namespace phonepki::scheduler {
namespace {

constexpr int kSweep = 1000;  // rows ended in one go

}  // namespace

absl::Status CheckConnectorUsable(db::Tx& tx, std::int64_t connector_id) {
  const auto disabled = [](const char* reason, const std::string& what, const std::string& name) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat(what, " \"", name, "\" is not enabled")), reason);
  };
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::GetConnector(tx, connector_id));
  if (!connector.enabled) return disabled("CONNECTOR_DISABLED", "connector", connector.display_name);
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, *connector.plugin_id));
  if (!plugin.enabled) return disabled("PLUGIN_DISABLED", "plug-in", plugin.display_name);
  ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::GetInternalCa(tx, *connector.issuing_ca_id));
  if (!ca.enabled) return disabled("CA_DISABLED", "internal CA", ca.display_name);
  return absl::OkStatus();
}

absl::Status ActivateDeployment(db::Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::LockDeployment(tx, id));
  if (deployment.active) return absl::OkStatus();
  if (deployment.superseded) {
    return base::WithReason(
        absl::FailedPreconditionError("a later deployment took this one's place; create a new one"),
        "DEPLOYMENT_SUPERSEDED");
  }
  RETURN_IF_ERROR(CheckConnectorUsable(tx, deployment.connector_id));
  ASSIGN_OR_RETURN(auto in_force, db::FindDeploymentInForce(tx, deployment.location_id, deployment.slot));
  if (in_force) RETURN_IF_ERROR(db::MarkDeploymentSuperseded(tx, *in_force));
  return db::SetDeploymentActive(tx, id, true);
}

absl::StatusOr<std::int64_t> DeactivateDeployment(db::Tx& tx, std::int64_t id, bool cancel_jobs) {
  RETURN_IF_ERROR(db::LockDeployment(tx, id).status());
  RETURN_IF_ERROR(db::SetDeploymentActive(tx, id, false));
  if (!cancel_jobs) return 0;
  return db::CancelJobsOfDeployment(tx, id, "the deployment was deactivated");
}

void Clockwork::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Clockwork::Stop() {
  wake_.Stop();
  if (thread_.joinable()) thread_.join();
}

void Clockwork::Run() {
  while (wake_.WaitFor(poll_)) {
    if (absl::Status status = RunOnce(); !status.ok()) base::LogWarn("clockwork_failed", {{"error", status}});
  }
}

absl::Status Clockwork::RunOnce() {
  std::int64_t created = 0;
  RETURN_IF_ERROR(database_.InTransaction("deployments_start", [&](db::Tx& tx) -> absl::Status {
    created = 0;
    ASSIGN_OR_RETURN(std::vector<std::int64_t> due, db::ClaimDueDeployments(tx, 10));
    if (due.empty()) return absl::OkStatus();
    // Phones that register at this moment are placed before or after, never past it.
    RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
    for (std::int64_t id : due) {
      ASSIGN_OR_RETURN(std::int64_t jobs, db::StartDeployment(tx, id));
      base::LogInfo("deployment_started", {{"deployment", id}, {"jobs", jobs}});
      created += jobs;
    }
    return absl::OkStatus();
  }));
  if (created > 0) on_started_();
  return database_.InTransaction("sweep", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::TimeOutJobs(tx, kSweep).status());
    RETURN_IF_ERROR(db::SweepExpiredPins(tx, kSweep).status());
    return db::DeleteExpiredSessions(tx, kSweep).status();
  });
}

}  // namespace phonepki::scheduler
