// What a roll-out looks like while it runs. Pure: figures in, lines out.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "phonepki/deployment/v1/deployment.pb.h"

namespace phonepki::cli {

// Finished things per second over the last half minute.
class RateMeter {
 public:
  void Add(absl::Time time, std::int64_t done);
  double PerSecond(absl::Time now) const;

 private:
  struct Sample {
    absl::Time time;
    std::int64_t done;
  };
  std::deque<Sample> samples_;
};

struct ProgressRow {
  std::string label;
  deployment::v1::Progress figures;
  double rate = 0;     // jobs per second
  std::string remark;  // instead of rate and remaining time: "starts 2026-12-01 02:00"
};

// Jobs in a final state.
std::int64_t DoneCount(const deployment::v1::Progress& progress);
// Jobs, and phones that get theirs with a later wave.
std::int64_t PhoneCount(const deployment::v1::Progress& progress);
// Failed or timed out.
std::int64_t FailedCount(const deployment::v1::Progress& progress);
// Every job succeeded, and none is to come. True when there is none.
bool AllSucceeded(const deployment::v1::Progress& progress);
void AddTo(deployment::v1::Progress& sum, const deployment::v1::Progress& progress);

// One line per row, no wider than `width`: less important figures are left out, then the bar shrinks.
std::vector<std::string> RenderBars(const std::vector<ProgressRow>& rows, int width, bool color);
// The same for a log: "Bremen  64/100  64%  ok 60  failed 0 ...".
std::string RenderPlain(const ProgressRow& row);

// "████░░" of `width` columns.
std::string Bar(double share, int width);

}  // namespace phonepki::cli
