#include "ca/x509/pkcs12.h"

#include <optional>

#include <absl/strings/str_cat.h>
#include <openssl/err.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_order.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"
#include "ca/x509/password_based.h"
#include "ca/x509/utf8.h"

namespace phonepki::ca {
namespace {

using X509Stack =
    OpenSslPtr<STACK_OF(X509), [](STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }>;
using Pkcs7Stack =
    OpenSslPtr<STACK_OF(PKCS7), [](STACK_OF(PKCS7) * stack) { sk_PKCS7_pop_free(stack, PKCS7_free); }>;
using BagStack = OpenSslPtr<STACK_OF(PKCS12_SAFEBAG), [](STACK_OF(PKCS12_SAFEBAG) * stack) {
  sk_PKCS12_SAFEBAG_pop_free(stack, PKCS12_SAFEBAG_free);
}>;

constexpr int kMaxBagDepth = 4;
constexpr std::size_t kMaxPkcs12Size = 1 << 20;

absl::Status Refused(const std::string& reason, const std::string& what) {
  ERR_clear_error();
  return base::WithReason(absl::InvalidArgumentError(what), reason);
}

// The pass phrase with the terminating NUL that OpenSSL wants.
absl::StatusOr<base::Secret> Terminated(const base::Secret& passphrase) {
  if (CountCharacters(passphrase.view()) < 0 || passphrase.view().find('\0') != std::string_view::npos) {
    return Refused("PASSPHRASE_INVALID", "the pass phrase must be UTF-8 text without NUL");
  }
  base::Bytes octets;
  octets.reserve(passphrase.size() + 1);
  octets.assign(passphrase.data(), passphrase.data() + passphrase.size());
  octets.push_back(0);
  return base::Secret(std::move(octets));
}

X509Ptr Decode(const base::Bytes& der) {
  const unsigned char* next = der.data();
  return X509Ptr(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
}

absl::Status TooMuchDerivation() {
  return Refused("NOT_PKCS12", "the file asks for more key derivation than is reasonable");
}

absl::Status CollectKey(const PKCS8_PRIV_KEY_INFO* info, Pkcs12Bags* found) {
  unsigned char* encoded = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info, &encoded);
  if (size <= 0) return Refused("NOT_PKCS12", "a private key in the file cannot be read");
  found->keys.emplace_back(encoded, static_cast<std::size_t>(size));
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
  return absl::OkStatus();
}

absl::Status CollectBags(const STACK_OF(PKCS12_SAFEBAG) * bags, const char* passphrase, int size, int depth,
                         DerivationBudget* budget, Pkcs12Bags* found) {
  if (depth > kMaxBagDepth) return Refused("NOT_PKCS12", "the file is nested too deeply");
  for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
    const PKCS12_SAFEBAG* bag = sk_PKCS12_SAFEBAG_value(bags, i);
    switch (PKCS12_SAFEBAG_get_nid(bag)) {
      case NID_keyBag:
        RETURN_IF_ERROR(CollectKey(PKCS12_SAFEBAG_get0_p8inf(bag), found));
        break;
      case NID_pkcs8ShroudedKeyBag: {
        const X509_SIG* const shrouded = PKCS12_SAFEBAG_get0_pkcs8(bag);
        const X509_ALGOR* algorithm = nullptr;
        if (shrouded != nullptr) X509_SIG_get0(shrouded, &algorithm, nullptr);
        if (!budget->Spend(algorithm)) return TooMuchDerivation();
        const Pkcs8Ptr info(PKCS12_decrypt_skey(bag, passphrase, size));
        if (info == nullptr)
          return Refused("WRONG_PASSPHRASE", "the pass phrase does not open the private key");
        RETURN_IF_ERROR(CollectKey(info.get(), found));
        break;
      }
      case NID_certBag: {
        if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate) break;
        const X509Ptr certificate(PKCS12_SAFEBAG_get1_cert(bag));
        unsigned char* encoded = nullptr;
        const int length = certificate == nullptr ? 0 : i2d_X509(certificate.get(), &encoded);
        if (length <= 0) return Refused("CERTIFICATE_MALFORMED", "a certificate in the file cannot be read");
        found->certificates.emplace_back(encoded, encoded + length);
        OPENSSL_free(encoded);
        break;
      }
      case NID_safeContentsBag:
        RETURN_IF_ERROR(
            CollectBags(PKCS12_SAFEBAG_get0_safes(bag), passphrase, size, depth + 1, budget, found));
        break;
      default:
        break;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMac(PKCS12* file, const char** passphrase, int* size, DerivationBudget* budget) {
  if (PKCS12_mac_present(file) != 1) return absl::OkStatus();
  const ASN1_INTEGER* iterations = nullptr;
  PKCS12_get0_mac(nullptr, nullptr, nullptr, &iterations, file);
  if (iterations != nullptr && !budget->Spend(iterations)) return TooMuchDerivation();
  if (PKCS12_verify_mac(file, *passphrase, *size) == 1) return absl::OkStatus();
  // "No pass phrase" is written in two ways: as the empty string and as none at all.
  if (*size == 0 && PKCS12_verify_mac(file, nullptr, 0) == 1) {
    *passphrase = nullptr;
    return absl::OkStatus();
  }
  return Refused("WRONG_PASSPHRASE", "the pass phrase does not open the PKCS#12 file");
}

}  // namespace

absl::StatusOr<Pkcs12Encryption> ParsePkcs12Encryption(std::string_view name, const std::string& field) {
  if (name == "legacy-3des-sha1") return Pkcs12Encryption::kLegacy3DesSha1;
  if (name == "aes256-sha256") return Pkcs12Encryption::kAes256Sha256;
  return base::InvalidField(field, "PKCS12_ENCRYPTION_UNKNOWN",
                            absl::StrCat("unknown PKCS#12 encryption \"", base::ToAbsl(name.substr(0, 40)),
                                         "\"; use legacy-3des-sha1 or aes256-sha256"));
}

std::string PrintPkcs12Encryption(Pkcs12Encryption encryption) {
  return encryption == Pkcs12Encryption::kLegacy3DesSha1 ? "legacy-3des-sha1" : "aes256-sha256";
}

absl::StatusOr<base::Secret> WritePkcs12(const base::Bytes& certificate, const PrivateKey& key,
                                         const std::vector<base::Bytes>& chain,
                                         const base::Secret& passphrase, Pkcs12Encryption encryption,
                                         const std::string& friendly_name, int iterations) {
  ASSIGN_OR_RETURN(const base::Secret terminated, Terminated(passphrase));
  const char* const pass = reinterpret_cast<const char*>(terminated.data());
  ERR_clear_error();
  const X509Ptr leaf = Decode(certificate);
  const X509Stack stack(sk_X509_new_null());
  if (leaf == nullptr || stack == nullptr)
    return Refused("CERTIFICATE_MALFORMED", "the certificate cannot be read");
  for (const base::Bytes& der : chain) {
    X509Ptr link = Decode(der);
    if (link == nullptr) return Refused("CERTIFICATE_MALFORMED", "a certificate of the chain cannot be read");
    if (sk_X509_push(stack.get(), link.get()) == 0) return OpenSslError("writing PKCS#12");
    link.release();  // the stack owns it now
  }
  if (X509_check_private_key(leaf.get(), key.get()) != 1) {
    return Refused("KEY_MISMATCH", "the certificate is not of this private key");
  }
  const bool legacy = encryption == Pkcs12Encryption::kLegacy3DesSha1;
  const int cipher = legacy ? NID_pbe_WithSHA1And3_Key_TripleDES_CBC : NID_aes_256_cbc;
  // The MAC is set apart (-1 = none yet), because its digest goes with the encryption.
  const Pkcs12Ptr file(PKCS12_create(pass, friendly_name.empty() ? nullptr : friendly_name.c_str(), key.get(),
                                     leaf.get(), stack.get(), cipher, cipher, iterations, /*mac_iter=*/-1,
                                     0));
  if (file == nullptr || PKCS12_set_mac(file.get(), pass, static_cast<int>(terminated.size()) - 1, nullptr, 0,
                                        iterations, legacy ? EVP_sha1() : EVP_sha256()) != 1) {
    return OpenSslError("writing PKCS#12");
  }
  unsigned char* encoded = nullptr;
  const int size = i2d_PKCS12(file.get(), &encoded);
  if (size <= 0) return OpenSslError("encoding PKCS#12");
  base::Secret result(encoded, static_cast<std::size_t>(size));
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
  return result;
}

absl::StatusOr<Pkcs12Bags> OpenPkcs12(std::string_view der, const base::Secret& passphrase,
                                      DerivationBudget* budget) {
  ASSIGN_OR_RETURN(const base::Secret terminated, Terminated(passphrase));
  const LegacyScope legacy;
  ERR_clear_error();
  const auto* start = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* next = start;
  if (der.size() > kMaxPkcs12Size) return Refused("NOT_PKCS12", "the file is larger than 1 MB");
  const Pkcs12Ptr file(d2i_PKCS12(nullptr, &next, static_cast<long>(der.size())));
  if (file == nullptr) return Refused("NOT_PKCS12", "the file is not PKCS#12");
  const char* phrase = reinterpret_cast<const char*>(terminated.data());
  int size = static_cast<int>(terminated.size()) - 1;
  RETURN_IF_ERROR(CheckMac(file.get(), &phrase, &size, budget));
  const Pkcs7Stack safes(PKCS12_unpack_authsafes(file.get()));
  if (safes == nullptr) return Refused("NOT_PKCS12", "the contents of the PKCS#12 file cannot be read");
  Pkcs12Bags found;
  for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
    PKCS7* const safe = sk_PKCS7_value(safes.get(), i);
    const int type = OBJ_obj2nid(safe->type);
    BagStack bags;
    if (type == NID_pkcs7_data) {
      bags.reset(PKCS12_unpack_p7data(safe));
      if (bags == nullptr) return Refused("NOT_PKCS12", "the contents of the PKCS#12 file cannot be read");
    } else if (type == NID_pkcs7_encrypted) {
      const PKCS7_ENCRYPT* const encrypted = safe->d.encrypted;  // a file may leave it out
      if (encrypted != nullptr && encrypted->enc_data != nullptr &&
          !budget->Spend(encrypted->enc_data->algorithm)) {
        return TooMuchDerivation();
      }
      bags.reset(PKCS12_unpack_p7encdata(safe, phrase, size));
      if (bags == nullptr)
        return Refused("WRONG_PASSPHRASE", "the pass phrase does not open the PKCS#12 file");
    } else {
      continue;
    }
    RETURN_IF_ERROR(CollectBags(bags.get(), phrase, size, 0, budget, &found));
  }
  return found;
}

absl::StatusOr<Pkcs12Contents> ReadPkcs12(std::string_view der, const base::Secret& passphrase) {
  DerivationBudget budget;
  ASSIGN_OR_RETURN(Pkcs12Bags found, OpenPkcs12(der, passphrase, &budget));
  if (found.keys.empty()) return Refused("NO_PRIVATE_KEY", "there is no private key in the PKCS#12 file");
  if (found.keys.size() > 1) {
    return Refused("SEVERAL_KEYS",
                   absl::StrCat("there are ", found.keys.size(),
                                " private keys in the PKCS#12 file; export the one that is meant"));
  }
  if (found.certificates.empty())
    return Refused("NO_CERTIFICATE", "there is no certificate in the PKCS#12 file");
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(found.keys.front()));
  std::optional<base::Bytes> leaf;
  std::vector<base::Bytes> others;
  for (base::Bytes& certificate : found.certificates) {
    ASSIGN_OR_RETURN(const CertificateInfo info, ParseCertificate(certificate));
    if (!leaf && info.spki_der == key.spki_der()) {
      leaf = std::move(certificate);
    } else {
      others.push_back(std::move(certificate));
    }
  }
  if (!leaf) return Refused("KEY_MISMATCH", "no certificate in the PKCS#12 file is of its private key");
  std::vector<base::Bytes> chain = TakeChain(*leaf, &others);
  return Pkcs12Contents{*std::move(leaf), std::move(key), std::move(chain)};
}

}  // namespace phonepki::ca
