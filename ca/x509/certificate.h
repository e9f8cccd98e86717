// Certificates as read: a parsed view, PEM, and path validation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/key.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

struct CertificateInfo {
  base::Bytes der;
  std::string subject;  // DistinguishedName::Print
  std::string issuer;
  base::Bytes subject_der;
  base::Bytes issuer_der;
  base::Bytes serial;  // magnitude, big-endian, no leading zero
  absl::Time not_before;
  absl::Time not_after;
  bool is_ca = false;
  std::optional<int> path_len;
  std::string key_algorithm;        // PrintKeyAlgorithm where it is one of ours, else OpenSSL's name and size
  std::string signature_algorithm;  // "ecdsa-with-SHA256", "sha256WithRSAEncryption"
  base::Bytes sha256;
  base::Bytes sha1;
  base::Bytes spki_der;
  base::Bytes spki_sha256;
  base::Bytes ski;  // empty if absent
  base::Bytes aki;  // key identifier only; empty if absent
  SubjectAltNames names;
  std::vector<std::string> extended_key_usage;  // dotted; empty if absent, which restricts nothing
  bool self_signed = false;  // subject equals issuer and the signature verifies with its own key
};

// One certificate, nothing after it. kInvalidArgument, reason CERTIFICATE_MALFORMED.
absl::StatusOr<CertificateInfo> ParseCertificate(const base::Bytes& der);

// Every certificate in the text, in order; other blocks are skipped.
// kInvalidArgument: CERTIFICATE_MALFORMED, or NO_CERTIFICATE when there is none.
absl::StatusOr<std::vector<base::Bytes>> ParsePemCertificates(std::string_view pem);
// Lines end in LF alone, no blank lines.
std::string ToPem(const base::Bytes& der);
// "BEGIN PRIVATE KEY" (PKCS#8), not encrypted.
absl::StatusOr<base::Secret> PrivateKeyToPem(const PrivateKey& key);

// Path validation at a moment in time; `roots` are the only trust anchors. kFailedPrecondition, reason
// CHAIN_INVALID, with the library's finding and the depth. kInvalidArgument: a certificate cannot be parsed.
absl::Status VerifyChain(const base::Bytes& leaf, const std::vector<base::Bytes>& intermediates,
                         const std::vector<base::Bytes>& roots, absl::Time at);

base::Bytes Sha256(const base::Bytes& data);
std::string HexLower(const base::Bytes& octets);

}  // namespace phonepki::ca
