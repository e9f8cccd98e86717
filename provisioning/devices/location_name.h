// Resource names of locations.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::provisioning {

// "locations/7" or "locations/<display name>" to an id. kNotFound.
absl::StatusOr<std::int64_t> ResolveLocation(db::Tx& tx, const std::string& name, const std::string& field);

}  // namespace phonepki::provisioning
