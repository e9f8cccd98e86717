// How phones leave secure mode by an operator's act, with a new enrolment behind it or without (B-068,
// B-069).
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::provisioning {

inline constexpr int kMaxLeavingDevices = 10000;

struct LeftDevices {
  std::int64_t devices = 0;
  std::int64_t revoked_certificates = 0;
  std::int64_t cancelled_jobs = 0;
  std::int64_t created_jobs = 0;
};

// All or none, by MAC. kNotFound on devices.
absl::StatusOr<LeftDevices> LeaveSecureMode(db::Database& database, const std::set<std::string>& macs,
                                            const std::string& actor);
// As above; kFailedPrecondition NO_DEPLOYMENT_IN_FORCE.
absl::StatusOr<LeftDevices> ReEnrolDevices(db::Database& database, const std::set<std::string>& macs,
                                           const std::string& actor);

}  // namespace phonepki::provisioning
