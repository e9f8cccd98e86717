#include "provisioning/manual/selection_service.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "provisioning/devices/location_name.h"

namespace phonepki::provisioning {

absl::StatusOr<Selection> ReadSelection(db::Database& database, const deployment::v1::Selection& request) {
  if ((request.devices_size() > 0) == !request.location().empty()) {
    return base::InvalidField("selection", "SELECTION", "must name either devices or a location");
  }
  Selection selection;
  for (const std::string& name : request.devices()) {
    ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(name, "selection.devices"));
    selection.macs.insert(std::move(mac));
  }
  if (request.location().empty()) return selection;
  ASSIGN_OR_RETURN(selection.location_id,
                   database.InTransactionReturning("selection_location", [&](db::Tx& tx) {
                     return ResolveLocation(tx, request.location(), "selection.location");
                   }));
  return selection;
}

deployment::v1::DeviceOutcome ToProto(const DeviceOutcome& outcome) {
  deployment::v1::DeviceOutcome proto;
  proto.set_device(absl::StrCat("devices/", outcome.mac));
  proto.set_ok(outcome.status.ok());
  if (outcome.status.ok()) {
    proto.set_message(outcome.message);
    if (outcome.job_id) proto.set_job(absl::StrCat("jobs/", *outcome.job_id));
    return proto;
  }
  proto.set_reason(base::ReasonOf(outcome.status));
  // The text of an internal error belongs into the log.
  proto.set_message(absl::IsInternal(outcome.status) ? "failed; see the log"
                                                     : std::string(outcome.status.message()));
  return proto;
}

}  // namespace phonepki::provisioning
