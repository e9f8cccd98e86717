#include "ca/x509/profile.h"

#include <openssl/obj_mac.h>
#include <openssl/x509v3.h>

#include <absl/strings/str_cat.h>

#include "base/error.h"

namespace phonepki::ca {
namespace {

constexpr struct {
  CertificateKind kind;
  const char* name;
} kKinds[] = {{CertificateKind::kCa, "ca"},
              {CertificateKind::kWbmServer, "wbm"},
              {CertificateKind::kSpe, "spe"},
              {CertificateKind::kTlsServer, "tls-server"},
              {CertificateKind::kTlsClient, "tls-client"}};

}  // namespace

std::string PrintCertificateKind(CertificateKind kind) { return kKinds[static_cast<int>(kind)].name; }

absl::StatusOr<CertificateKind> ParseCertificateKind(const std::string& name, const std::string& field) {
  for (const auto& known : kKinds) {
    if (name == known.name) return known.kind;
  }
  return base::InvalidField(field, "CERTIFICATE_TYPE", absl::StrCat("\"", name, "\" is no certificate type"));
}

Profile ProfileOf(CertificateKind kind) {
  Profile profile;
  profile.kind = kind;
  if (kind == CertificateKind::kCa) {
    profile.ca = true;
    profile.key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
    return profile;
  }
  profile.key_usage = KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT | KU_NON_REPUDIATION;
  if (kind != CertificateKind::kTlsClient) profile.extended_key_usage.push_back(NID_server_auth);
  if (kind == CertificateKind::kTlsClient || kind == CertificateKind::kSpe) {
    profile.extended_key_usage.push_back(NID_client_auth);
  }
  return profile;
}

}  // namespace phonepki::ca
