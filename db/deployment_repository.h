// Automatic certificate deployments, and the jobs they create.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"

namespace phonepki::db {

struct DeploymentProgress {
  std::int64_t scheduled = 0, waiting = 0, running = 0, deferred_busy = 0, deferred_offline = 0,
               verifying = 0;
  std::int64_t succeeded = 0, failed = 0, timed_out = 0, cancelled = 0, superseded = 0, halted = 0;
  std::int64_t to_come = 0;  // phones without a job yet, of waves that have not started

  std::int64_t unfinished() const {
    return scheduled + waiting + running + deferred_busy + deferred_offline + verifying;
  }
  std::int64_t total() const {
    return unfinished() + succeeded + failed + timed_out + cancelled + superseded + halted;
  }
  bool operator==(const DeploymentProgress&) const = default;
};

constexpr int kDefaultWaveFailureLimit = 10;

struct DeploymentWaves {
  int size = 0;  // phones per wave; 0: all at once
  int failure_limit_percent = kDefaultWaveFailureLimit;
  int started = 0;
  int excused = 0;  // failures up to this one do not halt
  bool pending = false;
};

struct DeploymentHalt {
  std::optional<absl::Time> at;
  std::string reason;
  std::string text;
};

struct DeploymentRecord {
  std::int64_t id = 0;
  std::int64_t location_id = 0;
  std::string location_display_name;
  std::string slot;
  std::int64_t connector_id = 0;
  std::string connector_display_name;
  absl::Time deploy_at;
  bool active = false;
  bool superseded = false;
  std::optional<absl::Time> started_at;
  absl::Duration job_deadline;
  absl::Time created_at;
  std::string pin_mode;  // of secure mode: none, default, individual; empty for every other slot
  DeploymentWaves waves;
  DeploymentHalt halt;
  DeploymentProgress progress;
};

// kInvalidArgument: unknown location or connector (foreign key).
absl::StatusOr<std::int64_t> InsertDeployment(Tx& tx, const DeploymentRecord& deployment);
// With progress. kNotFound when one is missing.
absl::StatusOr<std::vector<DeploymentRecord>> GetDeployments(Tx& tx, const std::vector<std::int64_t>& ids);
// What a deployment of CA certificates brings: the trust anchor of its connector, then those that earlier
// deployments of the same slot brought to the location, newest first; each once, at most `limit`.
absl::StatusOr<std::vector<base::Bytes>> ListDeployedAnchors(Tx& tx, std::int64_t id, int limit);
// Without progress. kNotFound.
absl::StatusOr<DeploymentRecord> FindDeployment(Tx& tx, std::int64_t id);
// Locks the row. Without progress. kNotFound.
absl::StatusOr<DeploymentRecord> LockDeployment(Tx& tx, std::int64_t id);
// Ids below `before`, descending (newest first); location filter optional. With progress.
absl::StatusOr<std::vector<DeploymentRecord>> ListDeployments(Tx& tx, std::optional<std::int64_t> location_id,
                                                              std::int64_t before, int limit);
absl::Status UpdateDeploymentPlan(Tx& tx, const DeploymentRecord& deployment);
absl::Status SetDeploymentActive(Tx& tx, std::int64_t id, bool active);
// The rule in force for the same location and slot, if it is another one; locked.
absl::StatusOr<std::optional<std::int64_t>> FindDeploymentInForce(Tx& tx, std::int64_t location_id,
                                                                  const std::string& slot);
absl::Status MarkDeploymentSuperseded(Tx& tx, std::int64_t id);
// kFailedPrecondition (foreign key) while it has jobs that are not deleted with it.
absl::Status DeleteDeploymentWithJobs(Tx& tx, std::int64_t id);
// Display names of the active deployments that issue through the connector.
absl::StatusOr<std::vector<std::string>> ListActiveDeploymentsOfConnector(Tx& tx, std::int64_t connector_id);

// Deployments whose deploy date has come and that have no jobs yet; locked, others skip them.
absl::StatusOr<std::vector<std::int64_t>> ClaimDueDeployments(Tx& tx, int limit);
// One job per phone of the location, in one statement; an unfinished job of an older deployment for the same
// slot is superseded. Sets started_at. Call under LockPlacementExclusive. Returns the number of jobs. With
// waves none yet: StartWave (wave_repository.h) creates them, from where the rule stopped when it was in
// force before.
absl::StatusOr<std::int64_t> StartDeployment(Tx& tx, std::int64_t id);
// Late joiners: jobs for these phones from every started rule of the location each is in now, unless it had
// one; while waves are to come, a place in the next one. Call under LockPlacementShared or Exclusive.
absl::StatusOr<std::int64_t> CreateJobsForDevices(Tx& tx, const std::vector<std::int64_t>& device_ids);

// The MAC of one of these devices for whose location no deployment to the slot is in force and due.
absl::StatusOr<std::optional<std::string>> FindDeviceWithoutDeployment(
    Tx& tx, const std::vector<std::int64_t>& device_ids, const std::string& slot);
// A job from that deployment for each of these devices, whatever it had before, unless it has an unfinished
// one. Returns how many.
absl::StatusOr<std::int64_t> CreateJobsAgain(Tx& tx, const std::vector<std::int64_t>& device_ids,
                                             const std::string& slot);

}  // namespace phonepki::db
