#include "ca/x509/certificate.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/distinguished_name.h"
#include "ca/x509/key.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

absl::Time ToTime(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::StatusOr<std::string> PrintName(const X509_NAME* name) {
  unsigned char* out = nullptr;
  const int size = i2d_X509_NAME(name, &out);
  const base::Bytes der(out, out + std::max(size, 0));
  OPENSSL_free(out);
  ASSIGN_OR_RETURN(DistinguishedName parsed, DistinguishedName::FromDer(der));
  return parsed.Print();
}

SubjectAltNames ReadNames(X509* certificate) {
  SubjectAltNames names;
  GeneralNamesPtr general(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(general.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(general.get(), i);
    if (name->type == GEN_DNS) {
      names.dns.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                             ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      char text[INET6_ADDRSTRLEN] = {};
      const int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
      inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
      names.ip.emplace_back(text);
    }
  }
  return names;
}

X509StackPtr ToStack(const std::vector<X509Ptr>& certificates) {
  X509StackPtr stack(sk_X509_new_null());
  for (const X509Ptr& certificate : certificates) {
    X509_up_ref(certificate.get());
    sk_X509_push(stack.get(), certificate.get());
  }
  return stack;
}

absl::StatusOr<std::vector<X509Ptr>> DecodeAll(const std::vector<base::Bytes>& ders) {
  std::vector<X509Ptr> decoded;
  for (const base::Bytes& der : ders) {
    ASSIGN_OR_RETURN(X509Ptr certificate, DecodeCertificate(der));
    decoded.push_back(std::move(certificate));
  }
  return decoded;
}

}  // namespace

absl::StatusOr<X509Ptr> DecodeCertificate(const base::Bytes& der) {
  ERR_clear_error();
  const unsigned char* at = der.data();
  X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || at != der.data() + der.size()) {
    ERR_clear_error();
    return base::WithReason(absl::InvalidArgumentError("this is not one DER certificate"), "NOT_A_CERTIFICATE");
  }
  return certificate;
}

base::Bytes EncodeCertificate(X509* certificate) {
  unsigned char* out = nullptr;
  const int size = i2d_X509(certificate, &out);
  base::Bytes der(out, out + std::max(size, 0));
  OPENSSL_free(out);
  return der;
}

absl::StatusOr<CertificateInfo> ParseCertificate(const base::Bytes& der) {
  ASSIGN_OR_RETURN(X509Ptr certificate, DecodeCertificate(der));
  CertificateInfo info;
  info.der = der;
  ASSIGN_OR_RETURN(info.subject, PrintName(X509_get_subject_name(certificate.get())));
  ASSIGN_OR_RETURN(info.issuer, PrintName(X509_get_issuer_name(certificate.get())));
  BignumPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate.get()), nullptr));
  info.serial.resize(BN_num_bytes(serial.get()));
  BN_bn2bin(serial.get(), info.serial.data());
  info.not_before = ToTime(X509_get0_notBefore(certificate.get()));
  info.not_after = ToTime(X509_get0_notAfter(certificate.get()));
  info.is_ca = X509_check_ca(certificate.get()) == 1;
  info.self_issued =
      X509_NAME_cmp(X509_get_subject_name(certificate.get()), X509_get_issuer_name(certificate.get())) == 0;
  if (EVP_PKEY* key = X509_get0_pubkey(certificate.get()); key != nullptr) {
    if (auto algorithm = AlgorithmOf(key); algorithm.ok()) info.key_algorithm = PrintKeyAlgorithm(*algorithm);
  }
  info.sha256 = Sha256(der);
  info.sha1.resize(SHA_DIGEST_LENGTH);
  SHA1(der.data(), der.size(), info.sha1.data());
  info.names = ReadNames(certificate.get());
  return info;
}

std::string ToPem(const base::Bytes& der) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), PEM_STRING_X509, "", der.data(), static_cast<long>(der.size()));
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, size);
}

absl::StatusOr<std::vector<base::Bytes>> ParsePemCertificates(std::string_view pem) {
  BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<base::Bytes> certificates;
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    certificates.push_back(EncodeCertificate(certificate.get()));
  }
  ERR_clear_error();
  if (certificates.empty()) {
    return base::WithReason(absl::InvalidArgumentError("no BEGIN CERTIFICATE block found"), "NOT_A_CERTIFICATE");
  }
  return certificates;
}

absl::Status VerifyChain(const base::Bytes& leaf, const std::vector<base::Bytes>& intermediates,
                         const std::vector<base::Bytes>& roots, absl::Time at) {
  ASSIGN_OR_RETURN(X509Ptr certificate, DecodeCertificate(leaf));
  ASSIGN_OR_RETURN(std::vector<X509Ptr> middle, DecodeAll(intermediates));
  ASSIGN_OR_RETURN(std::vector<X509Ptr> anchors, DecodeAll(roots));
  X509StackPtr untrusted = ToStack(middle);
  X509StorePtr store(X509_STORE_new());
  for (const X509Ptr& anchor : anchors) X509_STORE_add_cert(store.get(), anchor.get());
  X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), untrusted.get()) != 1) {
    return OpenSslError("preparing to verify a chain");
  }
  X509_STORE_CTX_set_time(context.get(), 0, absl::ToTimeT(at));
  if (X509_verify_cert(context.get()) == 1) return absl::OkStatus();
  ERR_clear_error();
  const int error = X509_STORE_CTX_get_error(context.get());
  return base::WithReason(absl::InvalidArgumentError(absl::StrCat("the chain does not verify: ",
                                                                  X509_verify_cert_error_string(error), " at depth ",
                                                                  X509_STORE_CTX_get_error_depth(context.get()))),
                          "CHAIN_INVALID");
}

base::Bytes Sha256(const base::Bytes& octets) {
  base::Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(octets.data(), octets.size(), digest.data());
  return digest;
}

std::string HexLower(const base::Bytes& octets) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
}

}  // namespace phonepki::ca
