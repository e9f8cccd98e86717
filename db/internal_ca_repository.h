// Internal CAs (B-010 to B-013).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "db/database.h"

namespace phonepki::db {

struct InternalCaRecord {
  std::int64_t id = 0;
  std::string display_name;
  std::string description;
  bool enabled = false;
  std::optional<std::int64_t> parent_id;
  base::Bytes certificate;         // empty while a draft
  std::vector<base::Bytes> chain;  // parents, nearest first, root last
  base::Bytes wrapped_key;
  absl::Time not_before, not_after;
  absl::Time created_at;
};

// kAlreadyExists when the display name is taken.
absl::StatusOr<std::int64_t> InsertInternalCa(Tx& tx, const std::string& display_name,
                                              const std::string& description);
// Certificate, chain, key, validity, parent; only on a draft: kFailedPrecondition CA_HAS_CERTIFICATE.
absl::Status SetInternalCaCertificate(Tx& tx, const InternalCaRecord& ca);
absl::StatusOr<InternalCaRecord> GetInternalCa(Tx& tx, std::int64_t id);  // kNotFound
absl::StatusOr<InternalCaRecord> LockInternalCa(Tx& tx, std::int64_t id);
absl::StatusOr<std::int64_t> FindInternalCaByDisplayName(Tx& tx,
                                                         const std::string& display_name);  // kNotFound
absl::StatusOr<std::vector<InternalCaRecord>> ListInternalCas(Tx& tx, bool enabled_only, std::int64_t after,
                                                              int limit);
absl::Status UpdateInternalCa(Tx& tx, const InternalCaRecord& ca);  // names only
absl::Status SetInternalCaEnabled(Tx& tx, std::int64_t id, bool enabled);
// Takes along its discarded certificates, which are those of connector tests. kFailedPrecondition when
// something still refers to it.
absl::Status DeleteInternalCa(Tx& tx, std::int64_t id);
// Display names of enabled connectors that issue from it.
absl::StatusOr<std::vector<std::string>> ListConnectorsOfCa(Tx& tx, std::int64_t id, bool enabled_only);
// One sentence for each kind of dependent; empty when nothing depends on it.
absl::StatusOr<std::vector<std::string>> ListCaDependents(Tx& tx, std::int64_t id);

}  // namespace phonepki::db
