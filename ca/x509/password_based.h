// What every reader of files under a pass phrase needs: old ciphers within a fence, and an end to key
// derivation.
#pragma once

#include <cstdint>

#include <openssl/types.h>
#include <openssl/x509.h>

namespace phonepki::ca {

// RC2 and other old ciphers live in OpenSSL's legacy provider. It is loaded into a context of its own, and
// only this class makes that context current, on this thread and for its lifetime, so that nothing else in
// the process can come upon an old cipher. Objects made inside must not leave it; octets may.
class LegacyScope {
 public:
  LegacyScope();
  ~LegacyScope();
  LegacyScope(const LegacyScope&) = delete;
  LegacyScope& operator=(const LegacyScope&) = delete;

 private:
  OSSL_LIB_CTX* const previous_;
};

// A file says itself how often its pass phrase is hashed, and a hostile one says: for ever. One budget per
// file.
class DerivationBudget {
 public:
  // False if the file asks for more than is left (or for a negative number).
  bool Spend(const ASN1_INTEGER* iterations);
  // Of a PBES1, PBES2 or PKCS#12 encryption. An algorithm or parameters that OpenSSL will not understand cost
  // nothing.
  bool Spend(const X509_ALGOR* algorithm);

 private:
  bool Spend(std::uint64_t iterations);
  std::uint64_t left_ = 5'000'000;  // some seconds; the largest that tools write by themselves is 2 million
};

}  // namespace phonepki::ca
