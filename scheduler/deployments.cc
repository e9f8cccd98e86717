#include "scheduler/deployments.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "db/audit_repository.h"
#include "db/internal_ca_repository.h"
#include "db/job_repository.h"
#include "db/location_repository.h"
#include "db/plugin_repository.h"
#include "db/secure_mode_repository.h"
#include "db/session_repository.h"
#include "db/wave_repository.h"

namespace phonepki::scheduler {
namespace {

constexpr int kSweep = 1000;  // rows ended in one go
constexpr int kBatch = 10;    // deployments in one transaction

// Whether the wave went well enough for another one; halts the deployment when it did not.
absl::StatusOr<bool> MayGoOn(db::Tx& tx, std::int64_t id, const db::WaveOutcome& outcome) {
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, id));
  const db::DeploymentWaves& waves = deployment.waves;
  const std::int64_t reached = outcome.succeeded + outcome.failed;
  if (waves.started <= waves.excused || outcome.failed * 100 <= waves.failure_limit_percent * reached) {
    return true;
  }
  const std::string text =
      absl::StrCat("wave ", waves.started, ": of ", reached, " phones that were reached, ", outcome.failed,
                   " failed, timed out or fell silent; the limit is ", waves.failure_limit_percent, " %");
  RETURN_IF_ERROR(db::MarkDeploymentHalted(tx, id, "WAVE_FAILURE_LIMIT", text));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{"system", "deployment.halt", absl::StrCat("deployments/", id)}}));
  base::LogWarn("deployment_halted", {{"deployment", id}, {"reason", text}});
  return false;
}

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

absl::StatusOr<std::int64_t> ResumeDeployment(db::Tx& tx, std::int64_t id, bool retry_failed) {
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::LockDeployment(tx, id));
  if (!deployment.halt.at || deployment.superseded) {
    return base::WithReason(absl::FailedPreconditionError("the deployment is not halted"),
                            "DEPLOYMENT_NOT_HALTED");
  }
  RETURN_IF_ERROR(db::MarkDeploymentResumed(tx, id, !retry_failed));
  if (!retry_failed) return 0;
  return db::RetryFailedJobs(tx, id);
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

absl::StatusOr<std::int64_t> Clockwork::StartDueDeployments() {
  return database_.InTransactionReturning(
      "deployments_start", [&](db::Tx& tx) -> absl::StatusOr<std::int64_t> {
        std::int64_t created = 0;
        ASSIGN_OR_RETURN(std::vector<std::int64_t> due, db::ClaimDueDeployments(tx, kBatch));
        if (due.empty()) return 0;
        // Phones that register at this moment are placed before or after, never past it.
        RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
        for (std::int64_t id : due) {
          ASSIGN_OR_RETURN(std::int64_t jobs, db::StartDeployment(tx, id));
          base::LogInfo("deployment_started", {{"deployment", id}, {"jobs", jobs}});
          created += jobs;
        }
        return created;
      });
}

absl::StatusOr<std::int64_t> Clockwork::StartDueWaves() {
  return database_.InTransactionReturning("waves_start", [&](db::Tx& tx) -> absl::StatusOr<std::int64_t> {
    std::int64_t created = 0;
    ASSIGN_OR_RETURN(std::vector<std::int64_t> ended, db::ListEndedWaves(tx, kBatch));
    if (ended.empty()) return 0;
    ASSIGN_OR_RETURN(ended, db::ClaimWaves(tx, ended));
    if (ended.empty()) return 0;
    RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
    for (std::int64_t id : ended) {
      // Another replica may have started a wave, or somebody retried a job, before the deployment was ours.
      ASSIGN_OR_RETURN(db::WaveOutcome outcome, db::GetWaveOutcome(tx, id));
      if (outcome.holding > 0) continue;
      ASSIGN_OR_RETURN(bool go_on, MayGoOn(tx, id, outcome));
      if (!go_on) continue;
      ASSIGN_OR_RETURN(std::int64_t jobs, db::StartWave(tx, id));
      base::LogInfo("wave_started", {{"deployment", id}, {"jobs", jobs}});
      created += jobs;
    }
    return created;
  });
}

absl::Status Clockwork::RunOnce() {
  ASSIGN_OR_RETURN(std::int64_t created, StartDueDeployments());
  ASSIGN_OR_RETURN(std::int64_t more, StartDueWaves());
  if (created + more > 0) on_started_();
  return database_.InTransaction("sweep", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::TimeOutJobs(tx, kSweep).status());
    RETURN_IF_ERROR(db::SweepExpiredPins(tx, kSweep).status());
    return db::DeleteExpiredSessions(tx, kSweep).status();
  });
}

}  // namespace phonepki::scheduler
