// The credentials of secure mode (B-060 to B-064): what the secure door presents and whom it trusts, what
// phones must trust, and where their own certificates come from.
//
// A change of PKI overlaps: create the new credential (both sides now trust both), let the phones learn the
// new CA, activate it, delete the former one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/secret.h"
#include "ca/keystore/keystore.h"
#include "db/database.h"
#include "db/secure_mode_repository.h"
#include "provisioning/pki/issuance.h"

namespace phonepki::provisioning {

// A phone holds no more (items dls-server-ca[0] and [1]).
inline constexpr std::size_t kMaxPhoneTrust = 2;

// What the secure door needs.
struct DoorIdentity {
  std::int64_t credential_id = 0;
  std::string chain_pem;                        // own certificate first, without the root
  base::Secret key_pem;                         // PKCS#8
  std::vector<base::Bytes> client_authorities;  // DER, of all client credentials (B-064), roots included
  std::string revision;                         // SecureCredentials::Revision() of that moment
};

struct CredentialCreation {
  std::string kind;  // db::credential_kind
  std::int64_t connector_id = 0;
  std::vector<std::string> server_names;  // empty: those of configuration and locations
  bool validate_only = false;
  std::string request_id;
};

// Thread-safe.
class SecureCredentials {
 public:
  // `server_names`: host names and addresses that phones call, for server certificates (U16: both). Those
  // that locations name are added to them.
  SecureCredentials(db::Database& database, const ca::Keystore& keystore, Issuance& issuance,
                    std::vector<std::string> server_names)
      : database_(database),
        keystore_(keystore),
        issuance_(issuance),
        server_names_(std::move(server_names)) {}

  // B-061, B-062. A server credential gets a key and a certificate at once. The first of a kind is active.
  // kFailedPrecondition: the connector's refusals (CONNECTOR_DISABLED, CA_DISABLED, CA_EXPIRES_FIRST, …).
  // kInvalidArgument on "server_names": SERVER_NAMES_EMPTY, SAN_INVALID, SERVER_NAMES_NOT_FOR_CLIENT. A
  // rehearsal returns what would be, without id and certificate.
  absl::StatusOr<db::SecureCredentialRecord> Create(const CredentialCreation& creation,
                                                    const std::string& actor);
  // kNotFound. Activating the active one changes nothing. kFailedPrecondition CA_NOT_ON_PHONES unless
  // `force`: phones in secure mode were not given the root of a server credential, and would not call any
  // more.
  absl::StatusOr<db::SecureCredentialRecord> Activate(std::int64_t id, bool force, const std::string& actor);
  // B-063. kFailedPrecondition: CREDENTIAL_LAST, CREDENTIAL_ACTIVE; CREDENTIAL_IN_USE unless `force`: phones
  // in secure mode hold certificates that nothing else vouches for.
  absl::Status Delete(std::int64_t id, bool force, const std::string& actor);

  // kFailedPrecondition: NO_SERVER_CREDENTIAL, NO_CLIENT_CREDENTIAL (a door that trusts nobody admits
  // nobody), or the key does not open.
  absl::StatusOr<DoorIdentity> LoadDoorIdentity();
  // Cheap; differs after every change, so that a door knows when to load its identity anew.
  absl::StatusOr<std::string> Revision();

  // DER, at most kMaxPhoneTrust: the root of the active server credential first, then the newest others
  // (B-064). kFailedPrecondition NO_SERVER_CREDENTIAL.
  absl::StatusOr<std::vector<base::Bytes>> PhoneTrust(db::Tx& tx);
  // The connector that issues phones' client certificates. kFailedPrecondition NO_CLIENT_CREDENTIAL.
  absl::StatusOr<std::int64_t> ClientConnector(db::Tx& tx);

 private:
  // How many phones would be locked out by this server credential.
  absl::StatusOr<std::int64_t> CountLockedOut(db::Tx& tx, const db::SecureCredentialRecord& credential);
  absl::StatusOr<db::SecureCredentialRecord> CreateServer(const CredentialCreation& creation,
                                                          const std::string& actor);
  absl::StatusOr<db::SecureCredentialRecord> CreateClient(const CredentialCreation& creation,
                                                          const std::string& actor);
  // The active one first, then the newest. kFailedPrecondition `reason`: none is active.
  absl::StatusOr<std::vector<db::SecureCredentialRecord>> ListWithActive(db::Tx& tx, const std::string& kind,
                                                                         const std::string& reason);

  db::Database& database_;
  const ca::Keystore& keystore_;
  Issuance& issuance_;
  const std::vector<std::string> server_names_;
};

}  // namespace phonepki::provisioning
