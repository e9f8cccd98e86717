// Certificates and keys of our own doors, shared by all replicas.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "db/database.h"

namespace phonepki::db {

struct DoorCredentialRecord {
  std::string door;
  std::vector<base::Bytes> chain;  // own certificate first
  base::Bytes wrapped_key;
};

absl::StatusOr<std::optional<DoorCredentialRecord>> FindDoorCredential(Tx& tx, const std::string& door);
// Does nothing when another replica was faster: read again.
absl::Status InsertDoorCredential(Tx& tx, const DoorCredentialRecord& credential);

}  // namespace phonepki::db
