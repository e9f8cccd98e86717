#include "provisioning/security/secure_mode_exit.h"

#include <vector>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/audit_repository.h"
#include "db/deployment_repository.h"
#include "db/device_repository.h"
#include "db/secure_mode_repository.h"

namespace phonepki::provisioning {
namespace {

absl::StatusOr<std::vector<std::int64_t>> Lock(db::Tx& tx, const std::set<std::string>& macs) {
  ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> found, db::LockDevicesByMac(tx, {macs.begin(), macs.end()}));
  std::set<std::string> missing = macs;
  std::vector<std::int64_t> ids;
  for (const db::DeviceRecord& device : found) {
    missing.erase(device.mac);
    ids.push_back(device.id);
  }
  if (missing.empty()) return ids;
  return base::WithField(base::NotFound(absl::StrCat("no device devices/", *missing.begin())), "devices");
}

absl::StatusOr<LeftDevices> Leave(db::Tx& tx, const std::vector<std::int64_t>& devices,
                                  const std::set<std::string>& macs, const std::string& actor,
                                  const std::string& action, const std::string& text) {
  ASSIGN_OR_RETURN(db::LeftSecureMode left, db::LeaveSecureMode(tx, devices, text));
  std::vector<db::AuditRecord> audit;
  for (const std::string& mac : macs) audit.push_back({actor, action, absl::StrCat("devices/", mac)});
  RETURN_IF_ERROR(db::AppendAudit(tx, audit));
  return LeftDevices{static_cast<std::int64_t>(devices.size()), left.revoked_certificates,
                     left.cancelled_jobs, 0};
}

}  // namespace

absl::StatusOr<LeftDevices> LeaveSecureMode(db::Database& database, const std::set<std::string>& macs,
                                            const std::string& actor) {
  return database.InTransactionReturning("secure_mode_leave", [&](db::Tx& tx) -> absl::StatusOr<LeftDevices> {
    ASSIGN_OR_RETURN(std::vector<std::int64_t> devices, Lock(tx, macs));
    return Leave(tx, devices, macs, actor, "device.leave_secure_mode",
                 "taken out of secure mode by an operator");
  });
}

absl::StatusOr<LeftDevices> ReEnrolDevices(db::Database& database, const std::set<std::string>& macs,
                                           const std::string& actor) {
  return database.InTransactionReturning(
      "secure_mode_re_enrol", [&](db::Tx& tx) -> absl::StatusOr<LeftDevices> {
        ASSIGN_OR_RETURN(std::vector<std::int64_t> devices, Lock(tx, macs));
        ASSIGN_OR_RETURN(std::optional<std::string> without,
                         db::FindDeviceWithoutDeployment(tx, devices, db::kClientCertificateSlot));
        if (without) {
          return base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                      "no deployment of secure mode is in force for the location of devices/",
                                      *without, ": create and activate one first")),
                                  "NO_DEPLOYMENT_IN_FORCE");
        }
        ASSIGN_OR_RETURN(LeftDevices left, Leave(tx, devices, macs, actor, "device.re_enrol",
                                                 "to be enrolled again, by an operator"));
        ASSIGN_OR_RETURN(left.created_jobs, db::CreateJobsAgain(tx, devices, db::kClientCertificateSlot));
        return left;
      });
}

}  // namespace phonepki::provisioning
