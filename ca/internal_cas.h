// Internal CAs: create, generate, import, enable, delete (B-010 to B-013).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "ca/issuers.h"
#include "ca/x509/key.h"
#include "ca/x509/profile.h"
#include "db/database.h"
#include "db/internal_ca_repository.h"

namespace phonepki::ca {

// The Create CA dialogue; empty and unset mean the default.
struct CaCreation {
  std::string subject;
  std::string key_algorithm;
  std::optional<absl::Time> not_before, not_after;
  std::optional<std::int64_t> parent_id;
  bool allow_past_2038 = false;
  bool allow_legacy = false;
};

struct CaImport {
  std::string display_name, description;
  std::string pkcs12;
  base::Secret passphrase;
  bool enable = false;
  bool validate_only = false;
};

struct NewCa {
  std::string display_name, description;
  std::optional<CaCreation> creation;
  bool enable = false;
  bool validate_only = false;
  std::string request_id;
};

// Thread-safe. Errors as in proto/phonepki/ca/v1/internal_ca.proto.
class InternalCas {
 public:
  InternalCas(db::Database& database, const Keystore& keystore, Issuers& issuers, const KeyGenerator& keys,
              const base::Clock& clock)
      : database_(database), keystore_(keystore), issuers_(issuers), keys_(keys), clock_(clock) {}

  absl::StatusOr<db::InternalCaRecord> Create(const NewCa& wanted, const std::string& actor);
  absl::StatusOr<db::InternalCaRecord> Generate(std::int64_t id, const CaCreation& creation,
                                                bool validate_only, const std::string& actor);
  absl::StatusOr<db::InternalCaRecord> Import(const CaImport& import, const std::string& actor);
  absl::StatusOr<db::InternalCaRecord> SetEnabled(std::int64_t id, bool enabled, bool force,
                                                  const std::string& actor,
                                                  std::vector<std::string>* affected_connectors);
  absl::Status Delete(std::int64_t id, const std::string& actor);

 private:
  // Key and certificate of a new CA; the record's id must be set. A rehearsal uses no parent's key: it leaves
  // a subordinate without certificate.
  absl::Status Make(db::Tx& tx, const CaCreation& creation, bool validate_only, const std::string& actor,
                    db::InternalCaRecord& ca);
  absl::Status SignSubordinate(db::Tx& tx, const db::InternalCaRecord& parent, const Profile& profile,
                               const IssuanceRequest& request, bool validate_only, const std::string& actor,
                               db::InternalCaRecord& ca);

  db::Database& database_;
  const Keystore& keystore_;
  Issuers& issuers_;
  const KeyGenerator& keys_;
  const base::Clock& clock_;
};

}  // namespace phonepki::ca
