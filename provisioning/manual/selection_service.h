// What the adapters of this folder have in common.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "db/database.h"
#include "phonepki/deployment/v1/manual_deployment.pb.h"
#include "provisioning/manual/device_selection.h"

namespace phonepki::provisioning {

// kInvalidArgument SELECTION, MAC, …; kNotFound on the location.
absl::StatusOr<Selection> ReadSelection(db::Database& database, const deployment::v1::Selection& selection);
deployment::v1::DeviceOutcome ToProto(const DeviceOutcome& outcome);

template <typename Response>
void Fill(const std::vector<DeviceOutcome>& outcomes, Response* response) {
  for (const DeviceOutcome& outcome : outcomes) *response->add_outcomes() = ToProto(outcome);
}

}  // namespace phonepki::provisioning
