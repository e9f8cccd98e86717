#include "db/wave_repository.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/status_macros.h"

// Of a job j that waits for a phone that is off. Between two attempts to reach it the job is `waiting` for a
// moment: the knocks without a call in a row tell it from one that was just knocked at for the first time.
#define PHONE_IS_OFF                                                                                  \
  "(j.state = 'waiting' AND j.unanswered > 0 OR j.state = 'deferred' AND (j.reason = 'PHONE_OFFLINE'" \
  " OR j.reason = 'CONTACT_GAP' AND j.unanswered > 0))"
// It has the certificate and should have shown itself. Awaiting a PIN is no silence.
#define PHONE_IS_SILENT                                                                           \
  "(j.state = 'verifying' AND j.reason IN ('PROBE_UNREACHABLE', 'AWAITING_SECURE_CONTACT') AND (" \
  "SELECT e.at < now() - interval '10 minutes' FROM job_event e WHERE e.job_id = j.id"            \
  " ORDER BY e.id DESC LIMIT 1))"
#define HOLDS_THE_WAVE "(j.finished_at IS NULL AND NOT " PHONE_IS_OFF " AND NOT " PHONE_IS_SILENT ")"

namespace phonepki::db {
namespace {

constexpr Query kListEnded{"wave_list_ended", R"sql(
  SELECT d.id FROM deployment d
   WHERE d.active AND d.wave_after IS NOT NULL AND d.halted_at IS NULL AND d.started_at IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM job j
                      WHERE j.deployment_id = d.id AND j.wave = d.wave AND j.wave > 0
                        AND )sql" HOLDS_THE_WAVE ") ORDER BY d.id LIMIT $1"};
constexpr Query kClaim{"wave_claim", R"sql(
  SELECT id FROM deployment
   WHERE id = ANY($1::bigint[]) AND active AND wave_after IS NOT NULL AND halted_at IS NULL
     AND started_at IS NOT NULL
   ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)sql"};
constexpr Query kOutcome{"wave_outcome",
                         "SELECT count(*) FILTER (WHERE " HOLDS_THE_WAVE
                         "), count(*) FILTER (WHERE j.state = 'succeeded'),"
                         " count(*) FILTER (WHERE j.state IN ('failed', 'timed_out') OR " PHONE_IS_SILENT
                         ") FROM deployment d JOIN job j ON j.deployment_id = d.id AND j.wave = d.wave"
                         " AND j.wave > 0 WHERE d.id = $1"};

constexpr Query kState{"wave_state",
                       "SELECT location_id, wave_size, wave, wave_after FROM deployment WHERE id = $1"};
constexpr Query kNextJoiners{"wave_next_joiners", R"sql(
  SELECT v.id FROM deployment_joiner w JOIN device v ON v.id = w.device_id AND v.location_id = $2
   WHERE w.deployment_id = $1
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = $1)
   ORDER BY w.device_id LIMIT $3)sql"};
constexpr Query kNextPhones{"wave_next_phones", R"sql(
  SELECT v.id, v.mac FROM device v
   WHERE v.location_id = $2 AND v.mac > $3
     AND NOT EXISTS (SELECT 1 FROM job had WHERE had.device_id = v.id AND had.deployment_id = $1)
   ORDER BY v.mac LIMIT $4)sql"};
// Raising attempt takes the job away from whoever holds it.
constexpr Query kSupersede{"wave_supersede", R"sql(
  UPDATE job
     SET state = 'superseded', reason = 'SUPERSEDED_BY_DEPLOYMENT',
         reason_text = 'deployments/' || d.id || ' deploys to the same slot',
         attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
    FROM deployment d
   WHERE d.id = $1 AND job.device_id = ANY($2::bigint[]) AND job.slot = d.slot AND job.finished_at IS NULL
     AND job.deployment_id IS DISTINCT FROM d.id)sql"};
constexpr Query kCreateJobs{"wave_create_jobs", R"sql(
  INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline, wave)
  SELECT d.id, v.id, d.location_id, d.slot, now(), now() + d.job_deadline, $3::int
    FROM deployment d JOIN device v ON v.id = ANY($2::bigint[])
   WHERE d.id = $1
   ORDER BY v.mac
      ON CONFLICT (device_id, slot) WHERE finished_at IS NULL DO NOTHING)sql"};
constexpr Query kForgetJoiners{"wave_forget_joiners",
                               "DELETE FROM deployment_joiner WHERE deployment_id = $1 AND device_id <= $2"};
constexpr Query kSetWave{"wave_set", "UPDATE deployment SET wave = $2, wave_after = $3 WHERE id = $1"};

constexpr Query kHalt{"deployment_halt", R"sql(
  UPDATE deployment SET halted_at = now(), halt_reason = $2, halt_text = $3 WHERE id = $1)sql"};
constexpr Query kResume{"deployment_resume", R"sql(
  UPDATE deployment
     SET halted_at = NULL, halt_reason = '', halt_text = '',
         wave_excused = CASE WHEN $2 THEN wave ELSE wave_excused END
   WHERE id = $1)sql"};

std::vector<std::int64_t> ToIds(const pqxx::result& rows) {
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  return ids;
}

}  // namespace

absl::StatusOr<std::vector<std::int64_t>> ListEndedWaves(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListEnded, limit));
  return ToIds(rows);
}

absl::StatusOr<std::vector<std::int64_t>> ClaimWaves(Tx& tx, const std::vector<std::int64_t>& ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kClaim, ids));
  return ToIds(rows);
}

absl::StatusOr<WaveOutcome> GetWaveOutcome(Tx& tx, std::int64_t deployment_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kOutcome, deployment_id));
  const auto& row = rows.at(0);
  return WaveOutcome{row[0].as<std::int64_t>(), row[1].as<std::int64_t>(), row[2].as<std::int64_t>()};
}

absl::StatusOr<std::int64_t> StartWave(Tx& tx, std::int64_t deployment_id) {
  ASSIGN_OR_RETURN(pqxx::result state, tx.Execute(kState, deployment_id));
  const auto location = state.at(0)[0].as<std::int64_t>();
  const auto size = state.at(0)[1].as<std::size_t>();
  const int wave = state.at(0)[2].as<int>() + 1;
  std::optional<std::string> after = state.at(0)[3].as<std::string>("");
  // One more than there is room for tells whether another wave comes. Planned for the location at hand.
  const auto more_than_room = static_cast<std::int64_t>(size + 1);
  ASSIGN_OR_RETURN(pqxx::result joiners,
                   tx.ExecutePlanned(kNextJoiners, deployment_id, location, more_than_room));
  ASSIGN_OR_RETURN(pqxx::result phones, tx.ExecutePlanned(kNextPhones, deployment_id, location, *after,
                                                          more_than_room - joiners.size()));
  std::vector<std::int64_t> chosen = ToIds(joiners);
  auto joined_up_to = std::numeric_limits<std::int64_t>::max();
  bool last = true;
  if (chosen.size() > size) {
    last = false;
    chosen.resize(size);
    joined_up_to = chosen.back();
  }
  for (const auto& row : phones) {
    if (chosen.size() == size) {
      last = false;
      break;
    }
    chosen.push_back(row[0].as<std::int64_t>());
    after = row[1].as<std::string>();
  }
  if (last) after.reset();
  RETURN_IF_ERROR(tx.Execute(kForgetJoiners, deployment_id, joined_up_to).status());
  RETURN_IF_ERROR(tx.Execute(kSetWave, deployment_id, chosen.empty() ? wave - 1 : wave, after).status());
  if (chosen.empty()) return 0;
  RETURN_IF_ERROR(tx.ExecutePlanned(kSupersede, deployment_id, chosen).status());
  ASSIGN_OR_RETURN(pqxx::result created, tx.ExecutePlanned(kCreateJobs, deployment_id, chosen, wave));
  return static_cast<std::int64_t>(created.affected_rows());
}

absl::Status MarkDeploymentHalted(Tx& tx, std::int64_t id, const std::string& reason,
                                  const std::string& text) {
  return tx.Execute(kHalt, id, reason, text).status();
}

absl::Status MarkDeploymentResumed(Tx& tx, std::int64_t id, bool excuse) {
  return tx.Execute(kResume, id, excuse).status();
}

}  // namespace phonepki::db
