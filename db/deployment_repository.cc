#include "db/deployment_repository.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/job_record.h"

#define DEPLOYMENT_COLUMNS                                                                              \
  "d.id, d.location_id, l.display_name, d.slot, d.connector_id, c.display_name, to_usec(d.deploy_at), " \
  "d.active, d.superseded, to_usec(d.started_at), "                                                     \
  "(extract(epoch FROM d.job_deadline) * 1000000)::bigint, to_usec(d.created_at), "                     \
  "coalesce(d.pin_mode, ''), d.wave_size, d.wave_failure_limit_percent, d.wave, d.wave_excused, "       \
  "d.wave_after IS NOT NULL, to_usec(d.halted_at), d.halt_reason, d.halt_text"
#define DEPLOYMENT_TABLES \
  " FROM deployment d JOIN location l ON l.id = d.location_id JOIN connector c ON c.id = d.connector_id"

namespace phonepki::db {
namespace {

constexpr Query kInsert{"deployment_insert", R"sql(
  INSERT INTO deployment (location_id, slot, connector_id, deploy_at, job_deadline, pin_mode, wave_size,
                          wave_failure_limit_percent)
  VALUES ($1, $2, $3, $4::timestamptz, make_interval(secs => $5::float8), nullif($6, ''), $7, $8) RETURNING id)sql"};
constexpr Query kGet{"deployment_get", "SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_TABLES
                                       " WHERE d.id = ANY($1::bigint[]) ORDER BY d.id"};
constexpr Query kLock{"deployment_lock", "SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_TABLES
                                         " WHERE d.id = $1 FOR NO KEY UPDATE OF d"};
constexpr Query kList{
    "deployment_list",
    "SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_TABLES
    " WHERE d.id < $1 AND ($3::bigint IS NULL OR d.location_id = $3) ORDER BY d.id DESC LIMIT $2"};
constexpr Query kUpdatePlan{"deployment_update_plan", R"sql(
  UPDATE deployment
     SET connector_id = $2, deploy_at = $3::timestamptz, job_deadline = make_interval(secs => $4::float8),
         wave_size = $5, wave_failure_limit_percent = $6
   WHERE id = $1)sql"};
// A rule that comes back into force starts again, for the phones that joined its location meanwhile.
constexpr Query kActivate{"deployment_activate",
                          "UPDATE deployment SET active = true, started_at = NULL WHERE id = $1"};
constexpr Query kDeactivate{"deployment_deactivate", "UPDATE deployment SET active = false WHERE id = $1"};
constexpr Query kFindInForce{"deployment_find_in_force", R"sql(
  SELECT id FROM deployment WHERE location_id = $1 AND slot = $2 AND active FOR NO KEY UPDATE)sql"};
constexpr Query kMarkSuperseded{"deployment_mark_superseded",
                                "UPDATE deployment SET active = false, superseded = true WHERE id = $1"};
constexpr Query kDeleteJobs{"deployment_delete_jobs", "DELETE FROM job WHERE deployment_id = $1"};
constexpr Query kDelete{"deployment_delete", "DELETE FROM deployment WHERE id = $1"};
constexpr Query kActiveOfConnector{"deployment_active_of_connector", R"sql(
  SELECT 'deployments/' || d.id FROM deployment d WHERE d.connector_id = $1 AND d.active ORDER BY d.id)sql"};
constexpr Query kClaimDue{"deployment_claim_due", R"sql(
  SELECT id FROM deployment
   WHERE active AND started_at IS NULL AND deploy_at <= now()
   ORDER BY deploy_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED)sql"};
// Those whose turn by their MAC is still to come, and those that joined after it.
constexpr Query kPhonesToCome{"deployment_phones_to_come", R"sql(
  SELECT d.id,
         (SELECT count(*) FROM device v
           WHERE v.location_id = d.location_id
             AND v.mac > CASE WHEN d.wave_after IS NOT NULL THEN d.wave_after
                              WHEN d.wave = 0 AND d.started_at IS NULL THEN '' ELSE 'G' END)
         + (SELECT count(*) FROM deployment_joiner w JOIN device v ON v.id = w.device_id
             WHERE w.deployment_id = d.id AND v.location_id = d.location_id)
    FROM deployment d WHERE d.id = ANY($1::bigint[]) AND d.wave_size > 0 AND NOT d.superseded)sql"};
constexpr Query kProgress{"deployment_progress", R"sql(
  SELECT deployment_id, state, reason = 'PHONE_BUSY', count(*)
    FROM job WHERE deployment_id = ANY($1::bigint[]) GROUP BY 1, 2, 3)sql"};

// Raising attempt takes the job away from whoever holds it.
constexpr Query kSupersedeUnfinished{"deployment_supersede_unfinished", R"sql(
  UPDATE job
     SET state = 'superseded', reason = 'SUPERSEDED_BY_DEPLOYMENT',
         reason_text = 'deployments/' || d.id || ' deploys to the same slot',
         attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
    FROM deployment d, device v
   WHERE d.id = $1 AND v.location_id = $2 AND job.device_id = v.id AND job.slot = d.slot
     AND job.finished_at IS NULL AND job.deployment_id IS DISTINCT FROM d.id
     -- In waves, what somebody did by hand stays until the phone's turn.
     AND (job.deployment_id IS NOT NULL OR d.wave_size = 0)
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id))sql"};
constexpr Query kCreateAll{"deployment_create_jobs", R"sql(
  INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline)
  SELECT d.id, v.id, d.location_id, d.slot, now(), now() + d.job_deadline
    FROM deployment d JOIN device v ON v.location_id = $2
   WHERE d.id = $1
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id)
   ORDER BY v.id
      ON CONFLICT (device_id, slot) WHERE finished_at IS NULL DO NOTHING)sql"};
constexpr Query kMarkStarted{"deployment_mark_started",
                             "UPDATE deployment SET started_at = now() WHERE id = $1"};
// 'G' comes after every MAC: when the last wave had started, only those are left that joined while the rule
// was not in force.
constexpr Query kPrepareWaves{"deployment_prepare_waves", R"sql(
  WITH joins AS (
    INSERT INTO deployment_joiner (deployment_id, device_id)
    SELECT d.id, v.id FROM deployment d JOIN device v ON v.location_id = $2 AND v.mac <= coalesce(d.wave_after, 'G')
     WHERE d.id = $1 AND d.wave > 0
       AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id)
        ON CONFLICT DO NOTHING)
  UPDATE deployment
     SET started_at = now(), wave_after = coalesce(wave_after, CASE WHEN wave = 0 THEN '' ELSE 'G' END)
   WHERE id = $1)sql"};

constexpr Query kSupersedeForDevices{"deployment_supersede_for_devices", R"sql(
  UPDATE job
     SET state = 'superseded', reason = 'SUPERSEDED_BY_DEPLOYMENT',
         reason_text = 'the phone moved to a location with deployments/' || d.id,
         attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
    FROM device v, deployment d
   WHERE v.id = ANY($1::bigint[]) AND d.location_id = v.location_id AND d.active AND d.started_at IS NOT NULL
     AND job.device_id = v.id AND job.slot = d.slot AND job.finished_at IS NULL AND job.deployment_id IS DISTINCT FROM d.id
     AND (job.deployment_id IS NOT NULL OR d.wave_after IS NULL)
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id))sql"};
// While waves are to come, a phone waits for its turn, or for the next wave when its turn is over.
constexpr Query kCreateForDevices{"deployment_create_jobs_for_devices", R"sql(
  WITH joins AS (
    INSERT INTO deployment_joiner (deployment_id, device_id)
    SELECT d.id, v.id
      FROM device v JOIN deployment d ON d.location_id = v.location_id AND d.active AND d.started_at IS NOT NULL
                                     AND d.wave_after >= v.mac
     WHERE v.id = ANY($1::bigint[])
       AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id)
        ON CONFLICT DO NOTHING)
  INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline, wave)
  SELECT d.id, v.id, d.location_id, d.slot, now(), now() + d.job_deadline, d.wave
    FROM device v JOIN deployment d ON d.location_id = v.location_id AND d.active AND d.started_at IS NOT NULL
                                   AND d.wave_after IS NULL
   WHERE v.id = ANY($1::bigint[])
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = d.id)
   ORDER BY v.id
      ON CONFLICT (device_id, slot) WHERE finished_at IS NULL DO NOTHING)sql"};

constexpr Query kWithoutDeployment{"device_without_deployment", R"sql(
  SELECT v.mac FROM device v
   WHERE v.id = ANY($1::bigint[])
     AND NOT EXISTS (SELECT 1 FROM deployment d
                      WHERE d.location_id = v.location_id AND d.slot = $2 AND d.active AND d.deploy_at <= now())
   ORDER BY v.mac LIMIT 1)sql"};
// Though they had one from the same rule: somebody wants it again.
constexpr Query kCreateAgain{"deployment_create_jobs_again", R"sql(
  INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline)
  SELECT d.id, v.id, d.location_id, d.slot, now(), now() + d.job_deadline
    FROM device v JOIN deployment d ON d.location_id = v.location_id AND d.slot = $2 AND d.active
                                   AND d.deploy_at <= now()
   WHERE v.id = ANY($1::bigint[])
   ORDER BY v.id
      ON CONFLICT (device_id, slot) WHERE finished_at IS NULL DO NOTHING)sql"};

DeploymentRecord ToDeployment(const pqxx::row& row) {
  DeploymentRecord deployment;
  deployment.id = row[0].as<std::int64_t>();
  deployment.location_id = row[1].as<std::int64_t>();
  deployment.location_display_name = row[2].as<std::string>();
  deployment.slot = row[3].as<std::string>();
  deployment.connector_id = row[4].as<std::int64_t>();
  deployment.connector_display_name = row[5].as<std::string>();
  deployment.deploy_at = ToTime(row[6]);
  deployment.active = row[7].as<bool>();
  deployment.superseded = row[8].as<bool>();
  deployment.started_at = ToOptionalTime(row[9]);
  deployment.job_deadline = absl::Microseconds(row[10].as<std::int64_t>());
  deployment.created_at = ToTime(row[11]);
  deployment.pin_mode = row[12].as<std::string>();
  deployment.waves = {row[13].as<int>(), row[14].as<int>(), row[15].as<int>(), row[16].as<int>(),
                      row[17].as<bool>()};
  deployment.halt = {ToOptionalTime(row[18]), row[19].as<std::string>(), row[20].as<std::string>()};
  return deployment;
}

void Count(DeploymentProgress& progress, const std::string& state, bool busy, std::int64_t count) {
  std::int64_t& counter = state == job_state::kScheduled ? progress.scheduled
                          : state == job_state::kWaiting ? progress.waiting
                          : state == job_state::kRunning ? progress.running
                          : state == job_state::kDeferred
                              ? (busy ? progress.deferred_busy : progress.deferred_offline)
                          : state == job_state::kVerifying  ? progress.verifying
                          : state == job_state::kSucceeded  ? progress.succeeded
                          : state == job_state::kTimedOut   ? progress.timed_out
                          : state == job_state::kCancelled  ? progress.cancelled
                          : state == job_state::kSuperseded ? progress.superseded
                          : state == job_state::kHalted     ? progress.halted
                                                            : progress.failed;
  counter += count;
}

absl::Status AttachProgress(Tx& tx, std::vector<DeploymentRecord>& deployments) {
  std::vector<std::int64_t> ids;
  for (const DeploymentRecord& deployment : deployments) ids.push_back(deployment.id);
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kProgress, ids));
  for (const auto& row : rows) {
    for (DeploymentRecord& deployment : deployments) {
      if (deployment.id != row[0].as<std::int64_t>()) continue;
      Count(deployment.progress, row[1].as<std::string>(), row[2].as<bool>(), row[3].as<std::int64_t>());
    }
  }
  ids.clear();
  for (const DeploymentRecord& deployment : deployments) {
    if (deployment.waves.size > 0) ids.push_back(deployment.id);
  }
  if (ids.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(rows, tx.Execute(kPhonesToCome, ids));
  for (const auto& row : rows) {
    for (DeploymentRecord& deployment : deployments) {
      if (deployment.id == row[0].as<std::int64_t>()) {
        deployment.progress.to_come = row[1].as<std::int64_t>();
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DeploymentRecord>> WithProgress(Tx& tx, const pqxx::result& rows) {
  std::vector<DeploymentRecord> deployments;
  for (const auto& row : rows) deployments.push_back(ToDeployment(row));
  RETURN_IF_ERROR(AttachProgress(tx, deployments));
  return deployments;
}

constexpr Query kAnchors{"deployment_anchors", R"sql(
  SELECT c.trust_anchor
    FROM deployment d
    JOIN deployment o ON o.location_id = d.location_id AND o.slot = d.slot AND o.id <= d.id
                     AND (o.id = d.id OR o.superseded)
    JOIN connector c ON c.id = o.connector_id
   WHERE d.id = $1 AND c.trust_anchor IS NOT NULL
   ORDER BY o.id DESC LIMIT 100)sql"};

}  // namespace

absl::StatusOr<std::int64_t> InsertDeployment(Tx& tx, const DeploymentRecord& deployment) {
  ASSIGN_OR_RETURN(
      pqxx::result rows,
      tx.Execute(kInsert, deployment.location_id, deployment.slot, deployment.connector_id,
                 deployment.deploy_at, absl::ToDoubleSeconds(deployment.job_deadline), deployment.pin_mode,
                 deployment.waves.size, deployment.waves.failure_limit_percent));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::StatusOr<std::vector<DeploymentRecord>> GetDeployments(Tx& tx, const std::vector<std::int64_t>& ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGet, ids));
  ASSIGN_OR_RETURN(std::vector<DeploymentRecord> found, WithProgress(tx, rows));
  for (std::int64_t id : ids) {
    bool present = false;
    for (const DeploymentRecord& deployment : found) present |= deployment.id == id;
    if (!present) return base::NotFound(absl::StrCat("no deployment deployments/", id));
  }
  return found;
}

absl::StatusOr<std::vector<base::Bytes>> ListDeployedAnchors(Tx& tx, std::int64_t id, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kAnchors, id));
  std::vector<base::Bytes> anchors;
  for (const auto& row : rows) {
    base::Bytes anchor = ToBytes(row[0]);
    if (static_cast<int>(anchors.size()) == limit) break;
    if (std::find(anchors.begin(), anchors.end(), anchor) == anchors.end()) {
      anchors.push_back(std::move(anchor));
    }
  }
  return anchors;
}

absl::StatusOr<DeploymentRecord> FindDeployment(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGet, std::vector<std::int64_t>{id}));
  if (rows.empty()) return base::NotFound(absl::StrCat("no deployment deployments/", id));
  return ToDeployment(rows[0]);
}

absl::StatusOr<DeploymentRecord> LockDeployment(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kLock, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no deployment deployments/", id));
  return ToDeployment(rows[0]);
}

absl::StatusOr<std::vector<DeploymentRecord>> ListDeployments(Tx& tx, std::optional<std::int64_t> location_id,
                                                              std::int64_t before, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kList, before, limit, location_id));
  return WithProgress(tx, rows);
}

absl::Status UpdateDeploymentPlan(Tx& tx, const DeploymentRecord& deployment) {
  return tx
      .Execute(kUpdatePlan, deployment.id, deployment.connector_id, deployment.deploy_at,
               absl::ToDoubleSeconds(deployment.job_deadline), deployment.waves.size,
               deployment.waves.failure_limit_percent)
      .status();
}

absl::Status SetDeploymentActive(Tx& tx, std::int64_t id, bool active) {
  return tx.Execute(active ? kActivate : kDeactivate, id).status();
}

absl::StatusOr<std::optional<std::int64_t>> FindDeploymentInForce(Tx& tx, std::int64_t location_id,
                                                                  const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindInForce, location_id, slot));
  if (rows.empty()) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(rows[0][0].as<std::int64_t>());
}

absl::Status MarkDeploymentSuperseded(Tx& tx, std::int64_t id) {
  return tx.Execute(kMarkSuperseded, id).status();
}

absl::Status DeleteDeploymentWithJobs(Tx& tx, std::int64_t id) {
  RETURN_IF_ERROR(tx.Execute(kDeleteJobs, id).status());
  return tx.Execute(kDelete, id).status();
}

absl::StatusOr<std::vector<std::string>> ListActiveDeploymentsOfConnector(Tx& tx, std::int64_t connector_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kActiveOfConnector, connector_id));
  std::vector<std::string> names;
  for (const auto& row : rows) names.push_back(row[0].as<std::string>());
  return names;
}

absl::StatusOr<std::vector<std::int64_t>> ClaimDueDeployments(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kClaimDue, limit));
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  return ids;
}

absl::StatusOr<std::int64_t> StartDeployment(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(DeploymentRecord deployment, FindDeployment(tx, id));
  // Ten phones or fifty thousand: planned for the location at hand.
  RETURN_IF_ERROR(tx.ExecutePlanned(kSupersedeUnfinished, id, deployment.location_id).status());
  if (deployment.waves.size > 0) {
    RETURN_IF_ERROR(tx.ExecutePlanned(kPrepareWaves, id, deployment.location_id).status());
    return 0;
  }
  ASSIGN_OR_RETURN(pqxx::result created, tx.ExecutePlanned(kCreateAll, id, deployment.location_id));
  RETURN_IF_ERROR(tx.Execute(kMarkStarted, id).status());
  return static_cast<std::int64_t>(created.affected_rows());
}

absl::StatusOr<std::int64_t> CreateJobsForDevices(Tx& tx, const std::vector<std::int64_t>& device_ids) {
  RETURN_IF_ERROR(tx.Execute(kSupersedeForDevices, device_ids).status());
  ASSIGN_OR_RETURN(pqxx::result created, tx.Execute(kCreateForDevices, device_ids));
  return static_cast<std::int64_t>(created.affected_rows());
}

absl::StatusOr<std::optional<std::string>> FindDeviceWithoutDeployment(
    Tx& tx, const std::vector<std::int64_t>& device_ids, const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kWithoutDeployment, device_ids, slot));
  if (rows.empty()) return std::optional<std::string>();
  return std::optional<std::string>(rows[0][0].as<std::string>());
}

absl::StatusOr<std::int64_t> CreateJobsAgain(Tx& tx, const std::vector<std::int64_t>& device_ids,
                                             const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result created, tx.Execute(kCreateAgain, device_ids, slot));
  return static_cast<std::int64_t>(created.affected_rows());
}

}  // namespace phonepki::db
