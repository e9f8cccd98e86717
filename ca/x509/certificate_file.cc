#include "ca/x509/certificate_file.h"

#include <algorithm>
#include <functional>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <openssl/err.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/chain_order.h"
#include "ca/x509/file_contents.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

absl::Status Refused(const std::string& reason, const std::string& what) {
  ERR_clear_error();
  return base::InvalidField("file", reason, what);
}

std::string WhatElse(const FileContents& contents) {
  std::vector<std::string> known;
  for (const std::string& label : contents.labels) {
    const bool plain = label.size() <= 40 && std::all_of(label.begin(), label.end(), [](char c) {
                         return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ' ';
                       });
    if (plain && known.size() < 3) known.push_back(label);
  }
  return known.empty()
             ? "there is no certificate in the file"
             : absl::StrCat("there is no certificate in the file, only: ", absl::StrJoin(known, ", "));
}

BignumPtr Number(const PrivateKey& key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key.get(), name, &number);
  return BignumPtr(number);
}

// OpenSSL signs with a damaged RSA key as long as one of its two ways to do so is whole; a phone may know
// only the other way.
bool PartsAgree(const PrivateKey& key) {
  if (!IsRsa(key.algorithm())) return true;
  const BignumPtr n = Number(key, "n"), d = Number(key, "d");
  const BignumPtr p = Number(key, "rsa-factor1"), dp = Number(key, "rsa-exponent1");
  const BignumPtr q = Number(key, "rsa-factor2"), dq = Number(key, "rsa-exponent2");
  const BignumPtr inverse = Number(key, "rsa-coefficient1");
  const OpenSslPtr<BN_CTX, BN_CTX_free> context(BN_CTX_new());
  const BignumPtr result(BN_new()), less_one(BN_new());
  for (const BignumPtr& number :
       {std::cref(n), std::cref(d), std::cref(p), std::cref(dp), std::cref(q), std::cref(dq),
        std::cref(inverse), std::cref(result), std::cref(less_one)}) {
    if (number == nullptr) return false;
  }
  if (context == nullptr) return false;
  const auto reduces_to = [&](const BignumPtr& factor, const BignumPtr& exponent) {
    return BN_sub(less_one.get(), factor.get(), BN_value_one()) == 1 &&
           BN_mod(result.get(), d.get(), less_one.get(), context.get()) == 1 &&
           BN_cmp(result.get(), exponent.get()) == 0;
  };
  return BN_mul(result.get(), p.get(), q.get(), context.get()) == 1 && BN_cmp(result.get(), n.get()) == 0 &&
         reduces_to(p, dp) && reduces_to(q, dq) &&
         BN_mod_mul(result.get(), inverse.get(), q.get(), p.get(), context.get()) == 1 &&
         BN_is_one(result.get());
}

// A key file may hold the public half of one key and the private half of another, or be damaged.
bool Works(const PrivateKey& key) {
  ERR_clear_error();
  if (!PartsAgree(key)) return false;
  const unsigned char message[] = "phonepki";
  const MdCtxPtr signer(EVP_MD_CTX_new());
  const MdCtxPtr verifier(EVP_MD_CTX_new());
  std::size_t size = 0;
  if (signer == nullptr || verifier == nullptr ||
      EVP_DigestSignInit(signer.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(signer.get(), nullptr, &size, message, sizeof message) != 1) {
    return false;
  }
  base::Bytes signature(size);
  const base::Bytes& spki = key.spki_der();
  const unsigned char* next = spki.data();
  const PkeyPtr public_half(d2i_PUBKEY(nullptr, &next, static_cast<long>(spki.size())));
  const bool works =
      EVP_DigestSign(signer.get(), signature.data(), &size, message, sizeof message) == 1 &&
      public_half != nullptr &&
      EVP_DigestVerifyInit(verifier.get(), nullptr, EVP_sha256(), nullptr, public_half.get()) == 1 &&
      EVP_DigestVerify(verifier.get(), signature.data(), size, message, sizeof message) == 1;
  ERR_clear_error();
  return works;
}

absl::StatusOr<PrivateKey> ParseKey(const base::Secret& octets) {
  absl::StatusOr<PrivateKey> key = PrivateKey::FromPkcs8Der(octets);
  if (base::ReasonOf(key.status()) == "KEY_MALFORMED" && octets.size() <= kMaxKeySize) {
    const unsigned char* next = octets.data();
    PkeyPtr parsed(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(octets.size())));
    if (parsed != nullptr) key = PrivateKey::FromPkey(std::move(parsed));
  }
  if (key.ok()) return key;
  if (base::ReasonOf(key.status()) == "KEY_UNSUPPORTED") {
    return Refused("KEY_UNSUPPORTED", std::string(key.status().message()));
  }
  return Refused("KEY_MALFORMED", "the private key in the file cannot be read");
}

// Null if there is none; one that stands in the file twice is one.
absl::StatusOr<std::optional<PrivateKey>> TheKey(const FileContents& contents) {
  std::optional<PrivateKey> the_key;
  for (const base::Secret& octets : contents.keys) {
    ASSIGN_OR_RETURN(PrivateKey key, ParseKey(octets));
    if (the_key && the_key->spki_der() != key.spki_der()) {
      return Refused("SEVERAL_KEYS",
                     "there are several private keys in the file; export the one that is meant");
    }
    if (!the_key) the_key = std::move(key);
  }
  if (the_key && !Works(*the_key)) {
    return Refused("KEY_MALFORMED", "the private key in the file is damaged; export it again");
  }
  return the_key;
}

absl::StatusOr<std::vector<CertificateInfo>> Parsed(const std::vector<base::Bytes>& certificates) {
  std::vector<CertificateInfo> parsed;
  for (const base::Bytes& der : certificates) {
    const bool seen =
        std::any_of(parsed.begin(), parsed.end(), [&](const auto& known) { return known.der == der; });
    if (seen) continue;
    if (parsed.size() == kMaxFileCertificates) {
      return Refused("TOO_MANY_CERTIFICATES",
                     absl::StrCat("there are more than ", kMaxFileCertificates, " certificates in the file"));
    }
    auto info = ParseCertificate(der);
    if (!info.ok()) {
      return Refused("CERTIFICATE_MALFORMED", absl::StrCat("certificate ", parsed.size() + 1,
                                                           " of the file: ", info.status().message()));
    }
    parsed.push_back(*std::move(info));
  }
  return parsed;
}

std::vector<CertificateInfo>::const_iterator FindLeaf(const std::vector<CertificateInfo>& certificates,
                                                      const std::optional<PrivateKey>& key) {
  auto leaf = certificates.end();
  for (auto at = certificates.begin(); at != certificates.end(); ++at) {
    if (key) {
      if (at->spki_der != key->spki_der()) continue;
      if (leaf == certificates.end() || at->not_before > leaf->not_before) leaf = at;
    } else if (!at->is_ca) {
      if (leaf != certificates.end()) return certificates.end();  // which one is meant?
      leaf = at;
    }
  }
  return leaf;
}

}  // namespace

absl::StatusOr<CertificateFile> ReadCertificateFile(std::string_view content,
                                                    const base::Secret& passphrase) {
  ASSIGN_OR_RETURN(const FileContents contents, OpenCertificateFile(content, passphrase));
  CertificateFile file;
  file.format = contents.formats.size() == 1 ? *contents.formats.begin() : "pem";
  ASSIGN_OR_RETURN(file.key, TheKey(contents));
  if (contents.certificates.empty()) {
    if (!file.key) return Refused("NOT_A_CERTIFICATE_FILE", WhatElse(contents));
    return Refused("KEY_WITHOUT_CERTIFICATE",
                   "there is a private key in the file but no certificate; bring both in one file");
  }
  ASSIGN_OR_RETURN(const std::vector<CertificateInfo> certificates, Parsed(contents.certificates));
  const auto leaf = FindLeaf(certificates, file.key);
  if (file.key && leaf == certificates.end()) {
    return Refused("KEY_WITHOUT_CERTIFICATE", absl::StrCat("none of the certificates in the file (",
                                                           certificates.size(), ") is of its private key"));
  }
  for (auto at = certificates.begin(); at != certificates.end(); ++at) {
    if (at == leaf) {
      file.leaf = at->der;
    } else {
      file.others.push_back(at->der);
    }
  }
  if (file.leaf) file.chain = TakeChain(*file.leaf, &file.others);
  return file;
}

absl::StatusOr<std::vector<base::Bytes>> CaCertificatesOf(const CertificateFile& file) {
  std::vector<base::Bytes> certificates;
  if (file.leaf) certificates.push_back(*file.leaf);
  certificates.insert(certificates.end(), file.chain.begin(), file.chain.end());
  certificates.insert(certificates.end(), file.others.begin(), file.others.end());
  for (const base::Bytes& der : certificates) {
    ASSIGN_OR_RETURN(const CertificateInfo info, ParseCertificate(der));
    if (info.is_ca) continue;
    return Refused(
        "NOT_A_CA_CERTIFICATE",
        absl::StrCat("\"", info.subject,
                     "\" is not the certificate of a CA; bring the certificate of the CA that issued "
                     "it, or leave it out of the file"));
  }
  return certificates;
}

}  // namespace phonepki::ca
