// PKCS#12 files: written for phones in the encryption their firmware can read, read from operators.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/key.h"

namespace phonepki::ca {

enum class Pkcs12Encryption {
  kLegacy3DesSha1,  // 3DES and SHA-1 MAC: what old firmware reads (wpi.md U3)
  kAes256Sha256,
};
// "legacy-3des-sha1", "aes256-sha256".
absl::StatusOr<Pkcs12Encryption> ParsePkcs12Encryption(const std::string& name, const std::string& field);

struct Pkcs12Contents {
  base::Bytes certificate;
  PrivateKey key;
  std::vector<base::Bytes> chain;  // in file order
};

absl::StatusOr<base::Secret> WritePkcs12(const base::Bytes& certificate, const PrivateKey& key,
                                         const std::vector<base::Bytes>& chain, const base::Secret& passphrase,
                                         Pkcs12Encryption encryption, const std::string& friendly_name);

// kInvalidArgument: NOT_PKCS12, WRONG_PASSPHRASE, NO_PRIVATE_KEY, NO_CERTIFICATE, KEY_MISMATCH, SEVERAL_KEYS.
absl::StatusOr<Pkcs12Contents> ReadPkcs12(std::string_view der, const base::Secret& passphrase);

}  // namespace phonepki::ca
