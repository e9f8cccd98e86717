// request_id of create calls: a repeated id finds the resource made first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::db {

absl::StatusOr<std::optional<std::int64_t>> FindApiRequest(Tx& tx, const std::string& method,
                                                           const std::string& request_id);
// kAborted when the same id is being used at this moment: the retry finds the winner's resource.
absl::Status RecordApiRequest(Tx& tx, const std::string& method, const std::string& request_id,
                              std::int64_t resource_id);

}  // namespace phonepki::db
