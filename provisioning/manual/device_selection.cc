#include "provisioning/manual/device_selection.h"

#include <algorithm>
#include <iterator>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/audit_repository.h"
#include "db/slot_repository.h"

namespace phonepki::provisioning {
namespace {

// In one transaction: phones that are locked cannot talk to the server.
constexpr std::size_t kChunk = 50;

absl::StatusOr<std::vector<std::string>> Resolve(db::Tx& tx, const Selection& selection, int limit) {
  std::vector<std::string> macs(selection.macs.begin(), selection.macs.end());
  if (selection.location_id) {
    db::DeviceFilter filter;
    filter.location_id = selection.location_id;
    ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> all, db::ListDevices(tx, filter, "", limit + 1));
    for (const db::DeviceRecord& device : all) macs.push_back(device.mac);
  }
  if (macs.empty()) {
    return base::InvalidField(
        "selection", "SELECTION",
        selection.location_id ? "the location has no phones" : "must name phones, or a location with phones");
  }
  if (static_cast<int>(macs.size()) > limit) {
    return base::InvalidField("selection", "SELECTION", absl::StrCat("at most ", limit, " phones at once"));
  }
  ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> devices, db::FindDevicesByMac(tx, macs));
  for (const std::string& mac : selection.macs) {
    const bool found = std::any_of(devices.begin(), devices.end(),
                                   [&](const db::DeviceRecord& device) { return device.mac == mac; });
    if (!found) return base::WithField(base::NotFound(absl::StrCat("no device devices/", mac)), "selection");
  }
  return macs;
}

}  // namespace

absl::Status RefusedForDevice(const std::string& reason, const std::string& text) {
  return base::WithReason(absl::FailedPreconditionError(text), reason);
}

absl::StatusOr<std::vector<DeviceOutcome>> ForEachSelected(
    db::Database& database, const Selection& selection, const Act& act, const std::function<void()>& on_jobs,
    absl::FunctionRef<absl::Status(db::Tx&, const db::DeviceRecord&, DeviceOutcome&)> act_on) {
  ASSIGN_OR_RETURN(std::vector<std::string> macs,
                   database.InTransactionReturning(
                       "selection", [&](db::Tx& tx) { return Resolve(tx, selection, act.max_devices); }));
  std::vector<DeviceOutcome> outcomes;
  for (std::size_t start = 0; start < macs.size(); start += kChunk) {
    const std::vector<std::string> chunk(
        macs.begin() + static_cast<std::ptrdiff_t>(start),
        macs.begin() + static_cast<std::ptrdiff_t>(std::min(start + kChunk, macs.size())));
    std::vector<DeviceOutcome> done;
    RETURN_IF_ERROR(database.InTransaction(act.name, [&](db::Tx& tx) -> absl::Status {
      done.clear();
      ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> devices, db::LockDevicesByMac(tx, chunk));
      std::int64_t good = 0;
      for (const db::DeviceRecord& device : devices) {
        DeviceOutcome& outcome = done.emplace_back();
        outcome.mac = device.mac;
        RETURN_IF_ERROR(act_on(tx, device, outcome));
        good += outcome.status.ok() ? 1 : 0;
      }
      if (act.validate_only) return db::DryRunEnd();
      return db::AppendAudit(tx, {{act.actor, act.name, "devices",
                                   absl::StrCat("{", act.audit_detail, ", \"devices\": ", good, "}")}});
    }));
    std::move(done.begin(), done.end(), std::back_inserter(outcomes));
  }
  bool jobs = false;
  for (DeviceOutcome& outcome : outcomes) {
    if (act.validate_only) outcome.job_id.reset();
    jobs |= outcome.job_id.has_value();
  }
  if (jobs) on_jobs();
  // They were locked in the order of their ids.
  std::sort(outcomes.begin(), outcomes.end(),
            [](const DeviceOutcome& a, const DeviceOutcome& b) { return a.mac < b.mac; });
  return outcomes;
}

absl::Status StartManualJob(db::Tx& tx, const db::DeviceRecord& device, const std::string& slot,
                            std::optional<std::int64_t> certificate, absl::Duration deadline,
                            DeviceOutcome& outcome) {
  RETURN_IF_ERROR(
      db::SupersedeJobs(tx, {device.id}, slot, false, "somebody deploys to this slot of this phone by hand"));
  ASSIGN_OR_RETURN(outcome.job_id, db::CreateManualJob(tx, device.id, slot, certificate, deadline));
  if (outcome.job_id) return absl::OkStatus();
  return absl::AbortedError("a deployment to the same slot of the same phone starts at this moment");
}

}  // namespace phonepki::provisioning
