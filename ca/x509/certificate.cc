#include "ca/x509/certificate.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/network_name.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

using BioPtr = OpenSslPtr<BIO, BIO_free_all>;
using ExtendedKeyUsagePtr = OpenSslPtr<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;
using X509Stack = OpenSslPtr<STACK_OF(X509), [](STACK_OF(X509) * stack) { sk_X509_free(stack); }>;

absl::Status Malformed(const std::string& what) {
  ERR_clear_error();
  return base::WithReason(absl::InvalidArgumentError(what), "CERTIFICATE_MALFORMED");
}

X509Ptr Decode(const base::Bytes& der) {
  ERR_clear_error();
  const unsigned char* next = der.data();
  X509Ptr certificate(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
  if (certificate != nullptr && next != der.data() + der.size()) certificate.reset();
  return certificate;
}

// `encode` is an OpenSSL i2d function of `object`.
template <typename T, typename Encode>
base::Bytes Encoded(const T* object, Encode encode) {
  unsigned char* octets = nullptr;
  const int size = object == nullptr ? 0 : encode(object, &octets);
  if (size <= 0) return {};
  base::Bytes result(octets, octets + size);
  OPENSSL_free(octets);
  return result;
}

base::Bytes ToBytes(const ASN1_STRING* string) {
  if (string == nullptr) return {};
  const unsigned char* data = ASN1_STRING_get0_data(string);
  return base::Bytes(data, data + ASN1_STRING_length(string));
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return Malformed("the validity of the certificate is malformed");
  const absl::CivilSecond civil(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                                tm.tm_sec);
  return absl::FromCivil(civil, absl::UTCTimeZone());
}

std::string PrintDer(const base::Bytes& der) {
  const auto name = DistinguishedName::FromDer(der);
  return name.ok() ? name->Print() : "";
}

SubjectAltNames AlternativeNames(const X509* certificate) {
  SubjectAltNames names;
  const GeneralNamesPtr list(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; list != nullptr && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list.get(), i), &type));
    if (type != GEN_DNS && type != GEN_IPADD && type != GEN_URI) continue;
    const base::Bytes octets = ToBytes(value);
    if (type == GEN_DNS) names.dns.emplace_back(octets.begin(), octets.end());
    if (type == GEN_URI) names.uri.emplace_back(octets.begin(), octets.end());
    if (type == GEN_IPADD) names.ip.push_back(PrintIp(octets));
  }
  return names;
}

std::vector<std::string> ExtendedKeyUsage(const X509* certificate) {
  std::vector<std::string> purposes;
  const ExtendedKeyUsagePtr list(
      static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate, NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; list != nullptr && i < sk_ASN1_OBJECT_num(list.get()); ++i) {
    char dotted[128];
    if (OBJ_obj2txt(dotted, sizeof dotted, sk_ASN1_OBJECT_value(list.get(), i), /*no_name=*/1) > 0) {
      purposes.emplace_back(dotted);
    }
  }
  return purposes;
}

std::string PublicKeyName(X509* certificate, const base::Bytes& spki) {
  const auto algorithm = AlgorithmOfSpki(spki);
  if (algorithm.ok()) return PrintKeyAlgorithm(*algorithm);
  const EVP_PKEY* key = X509_get0_pubkey(certificate);
  ERR_clear_error();
  if (key == nullptr) return "unknown";
  const char* name = EVP_PKEY_get0_type_name(key);
  return absl::StrCat(name == nullptr ? "unknown" : name, "-", EVP_PKEY_get_bits(key));
}

// Base64 in lines of 64 characters between BEGIN and END. Wipes what it does not return.
base::Secret Armour(const std::string& label, const std::uint8_t* data, std::size_t size) {
  const std::string begin = absl::StrCat("-----BEGIN ", label, "-----\n");
  const std::string end = absl::StrCat("-----END ", label, "-----\n");
  base::Bytes out;
  out.reserve(begin.size() + end.size() + (size + 47) / 48 * 66);
  out.insert(out.end(), begin.begin(), begin.end());
  unsigned char line[65];
  for (std::size_t i = 0; i < size; i += 48) {
    const int written =
        EVP_EncodeBlock(line, data + i, static_cast<int>(std::min<std::size_t>(48, size - i)));
    out.insert(out.end(), line, line + written);
    out.push_back('\n');
  }
  base::WipeMemory(line, sizeof line);
  out.insert(out.end(), end.begin(), end.end());
  return base::Secret(std::move(out));
}

}  // namespace

absl::StatusOr<CertificateInfo> ParseCertificate(const base::Bytes& der) {
  const X509Ptr certificate = Decode(der);
  if (certificate == nullptr) return Malformed("the octets are not one DER certificate");
  X509* const x509 = certificate.get();
  CertificateInfo info;
  info.der = der;
  info.subject_der = Encoded(X509_get_subject_name(x509), i2d_X509_NAME);
  info.issuer_der = Encoded(X509_get_issuer_name(x509), i2d_X509_NAME);
  info.subject = PrintDer(info.subject_der);
  info.issuer = PrintDer(info.issuer_der);
  info.serial = ToBytes(X509_get0_serialNumber(x509));
  while (info.serial.size() > 1 && info.serial.front() == 0) info.serial.erase(info.serial.begin());
  ASSIGN_OR_RETURN(info.not_before, ToTime(X509_get0_notBefore(x509)));
  ASSIGN_OR_RETURN(info.not_after, ToTime(X509_get0_notAfter(x509)));
  const std::uint32_t flags = X509_get_extension_flags(x509);
  if ((flags & EXFLAG_INVALID) != 0) return Malformed("the certificate has malformed or repeated extensions");
  info.is_ca = (flags & EXFLAG_CA) != 0 && (X509_get_key_usage(x509) & KU_KEY_CERT_SIGN) != 0;
  if (const long length = X509_get_pathlen(x509); length >= 0) info.path_len = static_cast<int>(length);
  info.spki_der = Encoded(X509_get_X509_PUBKEY(x509), i2d_X509_PUBKEY);
  info.key_algorithm = PublicKeyName(x509, info.spki_der);
  info.signature_algorithm = OBJ_nid2ln(X509_get_signature_nid(x509));
  info.sha256 = Sha256(der);
  info.sha1.resize(SHA_DIGEST_LENGTH);
  SHA1(der.data(), der.size(), info.sha1.data());
  info.spki_sha256 = Sha256(info.spki_der);
  info.ski = ToBytes(X509_get0_subject_key_id(x509));
  info.aki = ToBytes(X509_get0_authority_key_id(x509));
  info.names = AlternativeNames(x509);
  info.extended_key_usage = ExtendedKeyUsage(x509);
  info.self_signed =
      info.subject_der == info.issuer_der && X509_self_signed(x509, /*verify_signature=*/1) == 1;
  ERR_clear_error();
  return info;
}

absl::StatusOr<std::vector<base::Bytes>> ParsePemCertificates(std::string_view pem) {
  ERR_clear_error();
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslError("reading PEM text");
  std::vector<base::Bytes> certificates;
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) break;
    const std::string label(name);
    base::Secret content(data, static_cast<std::size_t>(size));  // may be a private key that stands beside
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
    if (label != PEM_STRING_X509 && label != PEM_STRING_X509_OLD) continue;
    base::Bytes der(content.data(), content.data() + content.size());
    if (Decode(der) == nullptr) {
      return Malformed(absl::StrCat("PEM block ", certificates.size() + 1, " is not a certificate"));
    }
    certificates.push_back(std::move(der));
  }
  if (const unsigned long error = ERR_peek_last_error(); ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return Malformed("the PEM text is malformed");
  }
  ERR_clear_error();
  if (certificates.empty()) {
    return base::WithReason(absl::InvalidArgumentError("there is no certificate in the PEM text"),
                            "NO_CERTIFICATE");
  }
  return certificates;
}

std::string ToPem(const base::Bytes& der) {
  return std::string(Armour("CERTIFICATE", der.data(), der.size()).view());
}

absl::StatusOr<base::Secret> PrivateKeyToPem(const PrivateKey& key) {
  ASSIGN_OR_RETURN(const base::Secret der, key.ToPkcs8Der());
  return Armour("PRIVATE KEY", der.data(), der.size());
}

absl::Status VerifyChain(const base::Bytes& leaf, const std::vector<base::Bytes>& intermediates,
                         const std::vector<base::Bytes>& roots, absl::Time at) {
  const X509Ptr target = Decode(leaf);
  if (target == nullptr) return Malformed("the octets are not one DER certificate");
  const X509StorePtr store(X509_STORE_new());
  const X509StoreCtxPtr context(X509_STORE_CTX_new());
  const X509Stack untrusted(sk_X509_new_null());
  if (store == nullptr || context == nullptr || untrusted == nullptr)
    return OpenSslError("preparing path validation");
  for (const base::Bytes& root : roots) {
    const X509Ptr anchor = Decode(root);
    if (anchor == nullptr) return Malformed("a trust anchor is not one DER certificate");
    if (X509_STORE_add_cert(store.get(), anchor.get()) != 1) return OpenSslError("preparing path validation");
  }
  std::vector<X509Ptr> owned;
  for (const base::Bytes& intermediate : intermediates) {
    owned.push_back(Decode(intermediate));
    if (owned.back() == nullptr) return Malformed("an intermediate is not one DER certificate");
    if (sk_X509_push(untrusted.get(), owned.back().get()) == 0)
      return OpenSslError("preparing path validation");
  }
  if (X509_STORE_CTX_init(context.get(), store.get(), target.get(), untrusted.get()) != 1) {
    return OpenSslError("preparing path validation");
  }
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(at));
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  const int error = X509_STORE_CTX_get_error(context.get());
  const int depth = X509_STORE_CTX_get_error_depth(context.get());
  ERR_clear_error();
  return base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                              "the certificate chain is not valid: ", X509_verify_cert_error_string(error),
                              " (certificate ", depth, ", 0 is the first)")),
                          "CHAIN_INVALID");
}

base::Bytes Sha256(const base::Bytes& data) {
  base::Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(data.data(), data.size(), digest.data());
  return digest;
}

std::string HexLower(const base::Bytes& octets) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(octets.size() * 2);
  for (const std::uint8_t octet : octets) {
    out.push_back(kDigits[octet >> 4]);
    out.push_back(kDigits[octet & 15]);
  }
  return out;
}

}  // namespace phonepki::ca
