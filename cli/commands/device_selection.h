// Commands that act on chosen phones: which ones, and what came of it for each.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>

#include "base/status_macros.h"
#include "cli/command.h"
#include "cli/commands/common.h"
#include "phonepki/deployment/v1/manual_deployment.pb.h"

namespace phonepki::cli {

struct DeviceSelection {
  std::vector<std::string> devices;
  std::string location;
  bool dry_run = false;

  std::vector<Option> Options() {
    return {Value("--device", "MAC", "phone; several are fine", &devices).Completing(Complete::kDevice),
            Value("--location", "LOCATION", "all phones of a location", &location)
                .Completing(Complete::kLocation),
            Flag("--dry-run,--validate-only", "check everything, change nothing", &dry_run)};
  }
  template <typename Request>
  absl::Status Apply(Request& request) const {
    request.set_validate_only(dry_run);
    for (const std::string& mac : devices) {
      ASSIGN_OR_RETURN(*request.mutable_selection()->add_devices(), DeviceName(mac));
    }
    request.mutable_selection()->set_location(ResourceName("locations", location));
    return absl::OkStatus();
  }
};

// kExitNotAll when a phone was refused.
template <typename Response>
absl::StatusOr<ExitCode> ShowOutcomes(Session& session, const Response& response) {
  bool all = true;
  for (const deployment::v1::DeviceOutcome& outcome : response.outcomes()) all &= outcome.ok();
  RETURN_IF_ERROR(
      session
          .Show(response,
                [&] {
                  Table table({{"DEVICE"}, {"OUTCOME"}, {"JOB"}, {"MESSAGE", false, true}});
                  for (const deployment::v1::DeviceOutcome& outcome : response.outcomes()) {
                    table.Add({ShortName(outcome.device()),
                               outcome.ok() ? Cell("ok", Color::kGreen) : Cell(outcome.reason(), Color::kRed),
                               ShortName(outcome.job()), outcome.message()});
                  }
                  session.Print(table);
                })
          .status());
  return all ? kExitOk : kExitNotAll;
}

}  // namespace phonepki::cli
