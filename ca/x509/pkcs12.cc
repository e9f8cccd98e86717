#include "ca/x509/pkcs12.h"

#include <openssl/err.h>
#include <openssl/provider.h>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

constexpr int kIterations = 2048;

absl::Status Refuse(const std::string& reason, const std::string& text) {
  ERR_clear_error();
  return base::WithReason(absl::InvalidArgumentError(text), reason);
}

// RC2-40, which many old files use for their certificates, lives in the legacy provider.
void LoadLegacyProvider() {
  static const bool loaded = [] {
    OSSL_PROVIDER_load(nullptr, "legacy");
    OSSL_PROVIDER_load(nullptr, "default");
    return true;
  }();
  static_cast<void>(loaded);
}

int CountKeys(const STACK_OF(PKCS12_SAFEBAG) * bags) {
  int keys = 0;
  for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
    const int type = PKCS12_SAFEBAG_get_nid(sk_PKCS12_SAFEBAG_value(bags, i));
    keys += type == NID_keyBag || type == NID_pkcs8ShroudedKeyBag;
  }
  return keys;
}

int CountKeys(PKCS12* file, const std::string& passphrase) {
  int keys = 0;
  STACK_OF(PKCS7)* safes = PKCS12_unpack_authsafes(file);
  for (int i = 0; i < sk_PKCS7_num(safes); ++i) {
    PKCS7* safe = sk_PKCS7_value(safes, i);
    STACK_OF(PKCS12_SAFEBAG)* bags = nullptr;
    if (OBJ_obj2nid(safe->type) == NID_pkcs7_data) bags = PKCS12_unpack_p7data(safe);
    if (OBJ_obj2nid(safe->type) == NID_pkcs7_encrypted) {
      bags = PKCS12_unpack_p7encdata(safe, passphrase.c_str(), static_cast<int>(passphrase.size()));
    }
    keys += CountKeys(bags);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
  }
  sk_PKCS7_pop_free(safes, PKCS7_free);
  return keys;
}

}  // namespace

absl::StatusOr<Pkcs12Encryption> ParsePkcs12Encryption(const std::string& name, const std::string& field) {
  if (name == "legacy-3des-sha1") return Pkcs12Encryption::kLegacy3DesSha1;
  if (name == "aes256-sha256") return Pkcs12Encryption::kAes256Sha256;
  return base::InvalidField(field, "PKCS12_ENCRYPTION", "must be legacy-3des-sha1 or aes256-sha256");
}

absl::StatusOr<base::Secret> WritePkcs12(const base::Bytes& certificate, const PrivateKey& key,
                                         const std::vector<base::Bytes>& chain, const base::Secret& passphrase,
                                         Pkcs12Encryption encryption, const std::string& friendly_name) {
  ERR_clear_error();
  ASSIGN_OR_RETURN(X509Ptr leaf, DecodeCertificate(certificate));
  X509StackPtr parents(sk_X509_new_null());
  for (const base::Bytes& der : chain) {
    ASSIGN_OR_RETURN(X509Ptr parent, DecodeCertificate(der));
    sk_X509_push(parents.get(), parent.release());
  }
  const bool legacy = encryption == Pkcs12Encryption::kLegacy3DesSha1;
  const int cipher = legacy ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : NID_aes_256_cbc;
  std::string pass(passphrase.view());
  Pkcs12Ptr file(PKCS12_create(pass.c_str(), friendly_name.c_str(), key.get(), leaf.get(), parents.get(), cipher,
                               cipher, kIterations, -1, 0));
  const bool sealed = file && PKCS12_set_mac(file.get(), pass.c_str(), static_cast<int>(pass.size()), nullptr, 0,
                                             kIterations, legacy ? EVP_sha1() : EVP_sha256()) == 1;
  base::WipeMemory(pass.data(), pass.size());
  unsigned char* out = nullptr;
  const int size = sealed ? i2d_PKCS12(file.get(), &out) : -1;
  if (size <= 0) return OpenSslError("writing a PKCS#12 file");
  base::Secret der(out, size);
  OPENSSL_clear_free(out, size);
  return der;
}

absl::StatusOr<Pkcs12Contents> ReadPkcs12(std::string_view der, const base::Secret& passphrase) {
  LoadLegacyProvider();
  ERR_clear_error();
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  Pkcs12Ptr file(d2i_PKCS12(nullptr, &at, static_cast<long>(der.size())));
  if (!file) return Refuse("NOT_PKCS12", "this is not a PKCS#12 file");
  std::string pass(passphrase.view());
  EVP_PKEY* raw_key = nullptr;
  X509* raw_leaf = nullptr;
  STACK_OF(X509)* raw_chain = nullptr;
  const bool opened = PKCS12_verify_mac(file.get(), pass.c_str(), static_cast<int>(pass.size())) == 1 ||
                      (pass.empty() && PKCS12_verify_mac(file.get(), nullptr, 0) == 1);
  const int keys = opened ? CountKeys(file.get(), pass) : 0;
  const bool parsed = opened && PKCS12_parse(file.get(), pass.c_str(), &raw_key, &raw_leaf, &raw_chain) == 1;
  base::WipeMemory(pass.data(), pass.size());
  PkeyPtr key(raw_key);
  X509Ptr leaf(raw_leaf);
  X509StackPtr parents(raw_chain);
  if (!opened) return Refuse("WRONG_PASSPHRASE", "the pass phrase does not open this PKCS#12 file");
  if (keys > 1) return Refuse("SEVERAL_KEYS", "the PKCS#12 file holds several private keys; keep one");
  if (!parsed) {
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_REASON(code) == PKCS12_R_MAC_VERIFY_FAILURE) return Refuse("WRONG_PASSPHRASE", "wrong pass phrase");
    return Refuse("KEY_MISMATCH", "no certificate in the file belongs to its private key");
  }
  if (!key) return Refuse("NO_PRIVATE_KEY", "the PKCS#12 file holds no private key");
  if (!leaf) {
    return sk_X509_num(parents.get()) > 0
               ? Refuse("KEY_MISMATCH", "no certificate in the file belongs to its private key")
               : Refuse("NO_CERTIFICATE", "the PKCS#12 file holds no certificate");
  }
  std::vector<base::Bytes> chain;
  for (int i = 0; i < sk_X509_num(parents.get()); ++i) {
    chain.push_back(EncodeCertificate(sk_X509_value(parents.get(), i)));
  }
  ASSIGN_OR_RETURN(PrivateKey owned, PrivateKey::FromPkey(std::move(key)));
  return Pkcs12Contents{EncodeCertificate(leaf.get()), std::move(owned), std::move(chain)};
}

}  // namespace phonepki::ca
