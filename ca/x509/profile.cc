#include "ca/x509/profile.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/text.h"

namespace phonepki::ca {
namespace {

struct NamedKind {
  CertificateKind kind;
  const char* name;
};
constexpr NamedKind kKinds[] = {
    {CertificateKind::kCa, "ca"},
    {CertificateKind::kWbmServer, "wbm"},
    {CertificateKind::kSpe, "spe"},
    {CertificateKind::kTlsServer, "tls-server"},
    {CertificateKind::kTlsClient, "tls-client"},
};

}  // namespace

absl::StatusOr<CertificateKind> ParseCertificateKind(std::string_view name, const std::string& field) {
  for (const auto& [kind, known] : kKinds) {
    if (name == known) return kind;
  }
  return base::InvalidField(field, "CERTIFICATE_KIND_UNKNOWN",
                            absl::StrCat("unknown certificate kind \"", base::ToAbsl(name.substr(0, 40)),
                                         "\"; use ca, wbm, spe, tls-server or tls-client"));
}

std::string PrintCertificateKind(CertificateKind kind) {
  for (const auto& [known, name] : kKinds) {
    if (known == kind) return name;
  }
  return "unknown";
}

Profile CaProfile() {
  Profile profile;
  profile.kind = CertificateKind::kCa;
  profile.ca = true;
  profile.key_usage = kKeyCertSign | kCrlSign;
  profile.authority_issuer_and_serial = true;
  return profile;
}

Profile LeafProfile(CertificateKind kind) {
  if (kind == CertificateKind::kCa) return CaProfile();
  Profile profile;
  profile.kind = kind;
  profile.key_usage = kDigitalSignature | kKeyEncipherment | kNonRepudiation;
  if (kind != CertificateKind::kTlsClient) profile.extended_key_usage.push_back(kServerAuth);
  if (kind == CertificateKind::kTlsClient || kind == CertificateKind::kSpe) {
    profile.extended_key_usage.push_back(kClientAuth);
  }
  return profile;
}

}  // namespace phonepki::ca
