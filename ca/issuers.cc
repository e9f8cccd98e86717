#include "ca/issuers.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"

namespace phonepki::ca {

std::string CaKeyPurpose(std::int64_t ca_id) {
  return absl::StrCat("ca-key:", ca_id);
}
std::string PhoneKeyPurpose(const base::Bytes& serial) {
  return absl::StrCat("phone-key:", HexLower(serial));
}

absl::StatusOr<std::shared_ptr<const Issuer>> Issuers::Get(const db::InternalCaRecord& ca) {
  absl::MutexLock lock(&mutex_);
  auto& issuer = issuers_[ca.id];
  if (issuer) return issuer;
  if (ca.certificate.empty()) {
    return base::WithReason(absl::FailedPreconditionError(absl::StrCat("internal CA \"", ca.display_name,
                                                                       "\" has no key yet: create or "
                                                                       "import it first")),
                            "CA_IS_DRAFT");
  }
  ASSIGN_OR_RETURN(base::Secret der, keystore_.Unwrap(ca.wrapped_key, CaKeyPurpose(ca.id)));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(der));
  ASSIGN_OR_RETURN(issuer, Issuer::Create(ca.certificate, std::move(key), clock_));
  return issuer;
}

}  // namespace phonepki::ca
