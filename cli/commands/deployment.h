// What commands that make deployments share.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/command.h"
#include "cli/session.h"
#include "phonepki/deployment/v1/deployment.pb.h"

namespace phonepki::cli {

// none, default, individual; empty is unspecified.
absl::StatusOr<deployment::v1::PinMode> ParsePinMode(const std::string& text);

struct WaveOptions {
  std::optional<std::int64_t> size, limit;

  void AddTo(std::vector<Option>& options);
  // Figures that are out of any range stay so: the server says what is allowed.
  template <typename Request>
  void Apply(Request& request) const {
    const auto narrow = [](std::int64_t figure) {
      return static_cast<std::int32_t>(
          std::clamp<std::int64_t>(figure, -1, std::numeric_limits<std::int32_t>::max()));
    };
    if (size) request.set_wave_size(narrow(*size));
    if (limit) request.set_wave_failure_limit_percent(narrow(*limit));
  }
};

// Creates and shows it, then watches it to its end.
absl::StatusOr<ExitCode> CreateAndWatch(Session& session,
                                        const deployment::v1::CreateDeploymentRequest& request, bool watch);

}  // namespace phonepki::cli
