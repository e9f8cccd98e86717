// Private keys and how they are made.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {

enum class KeyAlgorithm { kRsa1024, kRsa2048, kRsa3072, kRsa4096, kEcdsaP256, kEcdsaP384 };

// "rsa2048", "ecdsa-p256", … kInvalidArgument KEY_ALGORITHM.
absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(const std::string& name, const std::string& field);
std::string PrintKeyAlgorithm(KeyAlgorithm algorithm);
inline bool IsRsa(KeyAlgorithm algorithm) { return algorithm <= KeyAlgorithm::kRsa4096; }

// kInvalidArgument KEY_ALGORITHM when it is none of ours.
absl::StatusOr<KeyAlgorithm> AlgorithmOf(EVP_PKEY* key);

class PrivateKey {
 public:
  static absl::StatusOr<PrivateKey> FromPkey(PkeyPtr key);
  static absl::StatusOr<PrivateKey> FromPkcs8Der(const base::Secret& der);
  absl::StatusOr<base::Secret> ToPkcs8Der() const;
  absl::StatusOr<base::Secret> ToPem() const;

  const base::Bytes& spki_der() const { return spki_der_; }
  KeyAlgorithm algorithm() const { return algorithm_; }
  EVP_PKEY* get() const { return key_.get(); }

 private:
  PrivateKey(PkeyPtr key, KeyAlgorithm algorithm, base::Bytes spki_der)
      : key_(std::move(key)), algorithm_(algorithm), spki_der_(std::move(spki_der)) {}
  PkeyPtr key_;
  KeyAlgorithm algorithm_;
  base::Bytes spki_der_;
};

enum class RsaGenerator { kNettle, kOpenSsl };

// Thread-safe. RSA by nettle is four times as fast as by OpenSSL 3.0 (docs/performance.md).
class KeyGenerator {
 public:
  explicit KeyGenerator(RsaGenerator rsa = RsaGenerator::kNettle) : rsa_(rsa) {}
  absl::StatusOr<PrivateKey> Generate(KeyAlgorithm algorithm) const;

 private:
  RsaGenerator rsa_;
};

}  // namespace phonepki::ca
