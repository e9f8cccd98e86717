#include "ca/x509/encrypted_key.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

using X509SigPtr = OpenSslPtr<X509_SIG, X509_SIG_free>;

absl::Status Malformed(const std::string& what) {
  ERR_clear_error();
  return base::InvalidField("file", "KEY_MALFORMED", what);
}

int GivePassphrase(char* buffer, int size, int /*writing*/, void* passphrase) {
  const std::string_view text = static_cast<const base::Secret*>(passphrase)->view();
  if (text.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(text.begin(), text.end(), buffer);
  return static_cast<int>(text.size());
}

}  // namespace

absl::Status PassphraseRefused(const base::Secret& passphrase, const std::string& what) {
  ERR_clear_error();
  if (passphrase.empty()) {
    return base::InvalidField("passphrase", "PASSPHRASE_NEEDED",
                              absl::StrCat(what, " is encrypted: give the pass phrase it was saved with"));
  }
  return base::InvalidField(
      "passphrase", "WRONG_PASSPHRASE",
      absl::StrCat("the pass phrase does not open ", what, "; mind upper and lower case and the keyboard"));
}

absl::StatusOr<base::Secret> DecryptPkcs8(const base::Secret& der, const base::Secret& passphrase,
                                          DerivationBudget* budget) {
  const LegacyScope legacy;
  const unsigned char* next = der.data();
  const X509SigPtr encrypted(d2i_X509_SIG(nullptr, &next, static_cast<long>(der.size())));
  if (encrypted == nullptr) return Malformed("the encrypted private key cannot be read");
  const X509_ALGOR* algorithm = nullptr;
  X509_SIG_get0(encrypted.get(), &algorithm, nullptr);
  if (!budget->Spend(algorithm)) {
    return Malformed("the private key asks for more key derivation than is reasonable");
  }
  const Pkcs8Ptr info(
      PKCS8_decrypt(encrypted.get(), passphrase.view().data(), static_cast<int>(passphrase.size())));
  unsigned char* encoded = nullptr;
  const int size = info == nullptr ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), &encoded);
  if (size <= 0) return PassphraseRefused(passphrase, "the private key");
  base::Secret key(encoded, static_cast<std::size_t>(size));
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
  return key;
}

absl::StatusOr<base::Secret> DecryptPemKey(std::string header, base::Secret content,
                                           const base::Secret& passphrase) {
  if (passphrase.empty()) return PassphraseRefused(passphrase, "the private key");
  const LegacyScope legacy;
  EVP_CIPHER_INFO cipher = {};
  if (PEM_get_EVP_CIPHER_INFO(header.data(), &cipher) != 1 || cipher.cipher == nullptr) {
    return Malformed("the private key is encrypted in an unknown way; save it again with AES");
  }
  long size = static_cast<long>(content.size());
  if (PEM_do_header(&cipher, content.mutable_data(), &size, GivePassphrase,
                    const_cast<base::Secret*>(&passphrase)) != 1 ||
      size <= 0) {
    return PassphraseRefused(passphrase, "the private key");
  }
  base::Secret key(content.data(), static_cast<std::size_t>(size));
  const unsigned char* next = key.data();
  // A wrong pass phrase passes the padding once in 256 times; what comes out then is no key.
  const PkeyPtr parsed(d2i_AutoPrivateKey(nullptr, &next, size));
  if (parsed == nullptr) return PassphraseRefused(passphrase, "the private key");
  return key;
}

}  // namespace phonepki::ca
