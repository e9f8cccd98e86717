// Deployments in waves: which wave is over and how it went, who comes next. Jobs and rules themselves:
// deployment_repository.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::db {

// How the last started wave of a deployment stands.
struct WaveOutcome {
  // Jobs that the next wave waits for: unfinished, and their phone is not off. A phone that has the
  // certificate and was not seen for ten minutes is waited for no longer.
  std::int64_t holding = 0;
  std::int64_t succeeded = 0;
  // Failed, timed out, or not seen again since they have the certificate.
  std::int64_t failed = 0;
};

// Active deployments with waves to come, not halted, whose last wave is over, or that have had none.
absl::StatusOr<std::vector<std::int64_t>> ListEndedWaves(Tx& tx, int limit);
// Those of them that still are what ListEndedWaves looks for, except that a wave may have started in between;
// locked, what others hold is skipped. Only a later statement is sure to see what they did: ask
// GetWaveOutcome.
absl::StatusOr<std::vector<std::int64_t>> ClaimWaves(Tx& tx, const std::vector<std::int64_t>& ids);
absl::StatusOr<WaveOutcome> GetWaveOutcome(Tx& tx, std::int64_t deployment_id);
// The next wave_size phones: late joiners in the order in which they became known, then by their MAC. A job
// for each; unfinished ones of other deployments for the same slot are superseded. Call for a claimed
// deployment, under LockPlacementExclusive. Returns the number of jobs; 0 when nobody is left.
absl::StatusOr<std::int64_t> StartWave(Tx& tx, std::int64_t deployment_id);

absl::Status MarkDeploymentHalted(Tx& tx, std::int64_t id, const std::string& reason,
                                  const std::string& text);
// `excuse`: the failures of the waves so far halt it no more.
absl::Status MarkDeploymentResumed(Tx& tx, std::int64_t id, bool excuse);

}  // namespace phonepki::db
