// PKCS#12: the container in which phones and administrators exchange a key with its certificates.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/key.h"
#include "ca/x509/password_based.h"

namespace phonepki::ca {

// Old firmware, Windows and Java read only the first.
enum class Pkcs12Encryption { kLegacy3DesSha1, kAes256Sha256 };

// "legacy-3des-sha1", "aes256-sha256". kInvalidArgument on `field`, reason PKCS12_ENCRYPTION_UNKNOWN.
absl::StatusOr<Pkcs12Encryption> ParsePkcs12Encryption(std::string_view name,
                                                       const std::string& field = "pkcs12_encryption");
std::string PrintPkcs12Encryption(Pkcs12Encryption encryption);

struct Pkcs12Contents {
  base::Bytes certificate;
  PrivateKey key;
  std::vector<base::Bytes> chain;  // issuer first; certificates that are not above `certificate` are left out
};

// kInvalidArgument: `certificate` is not of `key` (KEY_MISMATCH), the pass phrase is not UTF-8 or holds a NUL
// (PASSPHRASE_INVALID), an unreadable certificate (CERTIFICATE_MALFORMED).
absl::StatusOr<base::Secret> WritePkcs12(const base::Bytes& certificate, const PrivateKey& key,
                                         const std::vector<base::Bytes>& chain,
                                         const base::Secret& passphrase, Pkcs12Encryption encryption,
                                         const std::string& friendly_name, int iterations = 2048);

// What a file holds, not yet judged: keys as PKCS#8, certificates in the order of the file.
struct Pkcs12Bags {
  std::vector<base::Secret> keys;
  std::vector<base::Bytes> certificates;
};

// Reads every usual encryption, RC2-40 included. A file that asks for more key derivation than `budget` has
// left is NOT_PKCS12. kInvalidArgument with reason NOT_PKCS12, WRONG_PASSPHRASE, CERTIFICATE_MALFORMED,
// PASSPHRASE_INVALID.
absl::StatusOr<Pkcs12Bags> OpenPkcs12(std::string_view der, const base::Secret& passphrase,
                                      DerivationBudget* budget);

// One key and its certificate. kInvalidArgument with reason NOT_PKCS12, WRONG_PASSPHRASE,
// NO_PRIVATE_KEY, SEVERAL_KEYS, NO_CERTIFICATE, KEY_MISMATCH (no certificate in the file is of the key),
// KEY_UNSUPPORTED, PASSPHRASE_INVALID.
absl::StatusOr<Pkcs12Contents> ReadPkcs12(std::string_view der, const base::Secret& passphrase);

}  // namespace phonepki::ca
