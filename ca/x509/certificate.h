// Reading certificates: the parsed view, PEM, chains.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {

// Names of an end point; IP addresses as text, v4 or v6.
struct SubjectAltNames {
  std::vector<std::string> dns, ip;
};

struct CertificateInfo {
  base::Bytes der;
  std::string subject, issuer;   // as DistinguishedName::Print()
  base::Bytes serial;
  absl::Time not_before, not_after;
  bool is_ca = false;
  bool self_issued = false;
  std::string key_algorithm;     // empty when it is none of ours
  base::Bytes sha256, sha1;
  SubjectAltNames names;
};

// kInvalidArgument NOT_A_CERTIFICATE.
absl::StatusOr<CertificateInfo> ParseCertificate(const base::Bytes& der);
absl::StatusOr<X509Ptr> DecodeCertificate(const base::Bytes& der);
base::Bytes EncodeCertificate(X509* certificate);

std::string ToPem(const base::Bytes& der);
absl::StatusOr<std::vector<base::Bytes>> ParsePemCertificates(std::string_view pem);

// The chain leaf → intermediates → one of roots, valid at `at`. kInvalidArgument CHAIN_INVALID with the reason.
absl::Status VerifyChain(const base::Bytes& leaf, const std::vector<base::Bytes>& intermediates,
                         const std::vector<base::Bytes>& roots, absl::Time at);

base::Bytes Sha256(const base::Bytes& octets);
std::string HexLower(const base::Bytes& octets);

}  // namespace phonepki::ca
