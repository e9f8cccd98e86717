// What a certificate of a given kind contains, and what is asked for when one is issued.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "ca/x509/distinguished_name.h"

namespace phonepki::ca {

enum class CertificateKind { kCa, kWbmServer, kSpe, kTlsServer, kTlsClient };

// "ca", "wbm", "spe", "tls-server", "tls-client". kInvalidArgument on `field`, reason
// CERTIFICATE_KIND_UNKNOWN.
absl::StatusOr<CertificateKind> ParseCertificateKind(std::string_view name, const std::string& field);
std::string PrintCertificateKind(CertificateKind kind);

// Bits of the keyUsage extension (RFC 5280 section 4.2.1.3), bit 0 first.
enum KeyUsage : std::uint16_t {
  kDigitalSignature = 1 << 0,
  kNonRepudiation = 1 << 1,
  kKeyEncipherment = 1 << 2,
  kDataEncipherment = 1 << 3,
  kKeyAgreement = 1 << 4,
  kKeyCertSign = 1 << 5,
  kCrlSign = 1 << 6,
};

inline constexpr char kServerAuth[] = "1.3.6.1.5.5.7.3.1";
inline constexpr char kClientAuth[] = "1.3.6.1.5.5.7.3.2";
inline constexpr char kOcspSigning[] = "1.3.6.1.5.5.7.3.9";

// Clocks of 32 bits end here.
inline constexpr absl::Time kYear2038Limit = absl::FromUnixSeconds(2147483647);

struct Profile {
  CertificateKind kind = CertificateKind::kTlsServer;
  bool ca = false;
  std::optional<int> path_len;                  // CA only; empty = as long as the issuer allows
  std::uint16_t key_usage = 0;                  // keyEncipherment is left out for elliptic keys
  std::vector<std::string> extended_key_usage;  // dotted object identifiers

  // basicConstraints is critical in every certificate; others only if set here, because some SIP servers fail
  // on any other critical extension.
  bool key_usage_critical = false;
  bool extended_key_usage_critical = false;

  // The authority key identifier of a self-signed certificate also names its issuer and serial number. In
  // other certificates it never does: that would tie them to one CA certificate and break its renewal with
  // the same key.
  bool authority_issuer_and_serial = false;

  bool allow_2038 = false;
  bool allow_rsa1024 = false;
  bool allow_sha1 = false;
  std::string digest = "sha256";  // sha256, sha384, sha512; sha1 if allow_sha1

  std::string crl_url;     // empty = not written
  std::string aia_ca_url;  // empty = not written
  std::string ocsp_url;    // empty = not written
};

Profile CaProfile();
// CaProfile() for kCa.
Profile LeafProfile(CertificateKind kind);

struct SubjectAltNames {
  std::vector<std::string> dns = {};  // LDH names; the first label may be "*"
  std::vector<std::string> ip = {};   // IPv4 or IPv6 text
  std::vector<std::string> uri = {};  // with a scheme

  bool empty() const { return dns.empty() && ip.empty() && uri.empty(); }
  bool operator==(const SubjectAltNames&) const = default;
};

struct IssuanceRequest {
  DistinguishedName subject;
  SubjectAltNames names;
  base::Bytes spki_der;
  absl::Time not_before;
  absl::Time not_after;
};

}  // namespace phonepki::ca
