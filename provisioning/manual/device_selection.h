// What a person does to chosen phones: each by itself, under its lock, and for each it is told what came of
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"
#include "db/device_repository.h"

namespace phonepki::provisioning {

// One of both.
struct Selection {
  std::set<std::string> macs;
  std::optional<std::int64_t> location_id;
};

struct DeviceOutcome {
  std::string mac;
  absl::Status status;
  std::optional<std::int64_t> job_id;
  std::string message;  // what was done
};

// What somebody does.
struct Act {
  const char* name;  // of the transactions, and in the audit log
  std::string actor;
  std::string audit_detail;  // JSON members: "\"slot\": \"wbm\""
  int max_devices = 1000;
  bool validate_only = false;
};

// Does `act_on` for each phone, fifty to a transaction: after a failure in between, those before it are done.
// Only what is about a single phone may be told as its outcome's status; what `act_on` returns ends
// everything. `on_jobs` is called when jobs were made. kInvalidArgument SELECTION on "selection"; kNotFound.
absl::StatusOr<std::vector<DeviceOutcome>> ForEachSelected(
    db::Database& database, const Selection& selection, const Act& act, const std::function<void()>& on_jobs,
    absl::FunctionRef<absl::Status(db::Tx&, const db::DeviceRecord&, DeviceOutcome&)> act_on);

// A manual job for the slot, in place of any unfinished one. kAborted: a deployment made one at this moment.
absl::Status StartManualJob(db::Tx& tx, const db::DeviceRecord& device, const std::string& slot,
                            std::optional<std::int64_t> certificate, absl::Duration deadline,
                            DeviceOutcome& outcome);

absl::Status RefusedForDevice(const std::string& reason, const std::string& text);

}  // namespace phonepki::provisioning
