#include "provisioning/pki/trusted_ca.h"

#include "base/status_macros.h"
#include "ca/x509/certificate.h"

namespace phonepki::provisioning {

absl::StatusOr<std::vector<db::TrustedCaRecord>> ReadTrustedCas(const std::vector<base::Bytes>& ders) {
  std::vector<db::TrustedCaRecord> records;
  for (const base::Bytes& der : ders) {
    ASSIGN_OR_RETURN(ca::CertificateInfo info, ca::ParseCertificate(der));
    records.push_back({0, info.sha256, info.der, info.serial, info.subject, info.not_before, info.not_after});
  }
  return records;
}

}  // namespace phonepki::provisioning
