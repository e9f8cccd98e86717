// Key pairs: making them, reading them, writing them. Private octets leave only as base::Secret.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {

enum class KeyAlgorithm { kRsa1024, kRsa2048, kRsa3072, kRsa4096, kEcdsaP256, kEcdsaP384 };

// "rsa1024", "rsa2048", "rsa3072", "rsa4096", "ecdsa-p256", "ecdsa-p384". kInvalidArgument on `field`, reason
// KEY_ALGORITHM_UNKNOWN. Whether RSA 1024 may be used is for the caller's policy.
absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(std::string_view name, const std::string& field);
std::string PrintKeyAlgorithm(KeyAlgorithm algorithm);
bool IsRsa(KeyAlgorithm algorithm);

// The algorithm of a SubjectPublicKeyInfo. kInvalidArgument, reason KEY_UNSUPPORTED: another algorithm, size
// or curve, an unsafe exponent, a point off its curve. Costs microseconds: no key object is built.
absl::StatusOr<KeyAlgorithm> AlgorithmOfSpki(const base::Bytes& spki_der);

// Of a private key, encoded. Real ones take at most 2.4 kB; in larger ones hide numbers that keep a processor
// busy.
inline constexpr std::size_t kMaxKeySize = 4096;

// Movable owner. Reading (get, spki_der) is thread-safe.
class PrivateKey {
 public:
  // kInvalidArgument: not a PKCS#8 key (KEY_MALFORMED), or of no algorithm named above (KEY_UNSUPPORTED).
  static absl::StatusOr<PrivateKey> FromPkcs8Der(const base::Secret& der);
  // Takes the key over.
  static absl::StatusOr<PrivateKey> FromPkey(PkeyPtr key);

  PrivateKey(PrivateKey&&) noexcept = default;
  PrivateKey& operator=(PrivateKey&&) noexcept = default;

  absl::StatusOr<base::Secret> ToPkcs8Der() const;
  const base::Bytes& spki_der() const { return spki_der_; }
  KeyAlgorithm algorithm() const { return algorithm_; }
  EVP_PKEY* get() const { return key_.get(); }  // still owned here

 private:
  PrivateKey(PkeyPtr key, base::Bytes spki_der, KeyAlgorithm algorithm);

  PkeyPtr key_;
  base::Bytes spki_der_;
  KeyAlgorithm algorithm_;
};

// Where RSA primes come from; nettle is about four times faster than OpenSSL 3.0. Elliptic keys are
// OpenSSL's.
enum class RsaGenerator { kNettle, kOpenSsl };

// Thread-safe.
class KeyGenerator {
 public:
  explicit KeyGenerator(RsaGenerator rsa = RsaGenerator::kNettle) : rsa_(rsa) {}
  // kInternal: the random source or the library failed.
  absl::StatusOr<PrivateKey> Generate(KeyAlgorithm algorithm) const;

 private:
  RsaGenerator rsa_;
};

}  // namespace phonepki::ca
