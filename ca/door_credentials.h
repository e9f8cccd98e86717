// Certificates of our own doors. The first start makes an API CA, certificates for the gRPC door and the
// phone door, and one administrator credential; replicas share them through the database.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/clock.h"
#include "base/secret.h"
#include "ca/keystore/keystore.h"
#include "ca/x509/key.h"
#include "db/database.h"

namespace phonepki::ca {

struct DoorCredential {
  std::string chain_pem;  // own certificate first
  base::Secret key_pem;
};

class DoorCredentials {
 public:
  DoorCredentials(db::Database& database, const Keystore& keystore, const KeyGenerator& keys,
                  const base::Clock& clock)
      : database_(database), keystore_(keystore), keys_(keys), clock_(clock) {}

  // The CA that signs API servers and clients; made when missing.
  absl::StatusOr<std::string> ApiCaPem();
  // "api" or "phone"; made when missing, valid for these names (host names and IP addresses).
  absl::StatusOr<DoorCredential> LoadOrCreate(const std::string& door, KeyAlgorithm algorithm,
                                              const std::vector<std::string>& names);
  // Writes admin.crt.pem, admin.key.pem (0600), api-ca.pem and admin.context.json for the CLI into
  // `directory`, unless they are there already.
  absl::Status WriteAdminCredential(const std::string& directory, const std::string& server);

 private:
  struct Loaded {
    std::vector<base::Bytes> chain;
    PrivateKey key;
  };
  absl::StatusOr<Loaded> LoadOrMake(const std::string& door,
                                    absl::FunctionRef<absl::StatusOr<Loaded>()> make);
  absl::StatusOr<Loaded> ApiCa();
  absl::StatusOr<Loaded> Issue(const Loaded& api_ca, KeyAlgorithm algorithm, const std::string& common_name,
                               const std::vector<std::string>& names, bool server);

  db::Database& database_;
  const Keystore& keystore_;
  const KeyGenerator& keys_;
  const base::Clock& clock_;
};

}  // namespace phonepki::ca
