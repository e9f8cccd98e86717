#include "ca/x509/issuer.h"

#include <absl/strings/str_cat.h>
#include <openssl/err.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/certificate_body.h"
#include "ca/x509/lint.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

std::string PrintTime(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

}  // namespace

Issuer::~Issuer() = default;

absl::StatusOr<std::unique_ptr<Issuer>> Issuer::Create(const base::Bytes& ca_certificate_der, PrivateKey key,
                                                       const base::Clock& clock) {
  ASSIGN_OR_RETURN(CertificateInfo info, ParseCertificate(ca_certificate_der));
  if (!info.is_ca) {
    return base::InvalidField(
        "certificate", "NOT_A_CA",
        "the certificate is not a CA certificate (basicConstraints CA and keyCertSign)");
  }
  if (info.spki_der != key.spki_der()) {
    return base::InvalidField("certificate", "KEY_MISMATCH", "the private key is not the certificate's");
  }
  std::unique_ptr<Issuer> issuer(new Issuer(std::move(key), clock));
  ASSIGN_OR_RETURN(issuer->subject_, DistinguishedName::FromDer(info.subject_der));
  if (issuer->subject_.empty()) return base::InvalidField("certificate", "NOT_A_CA", "the CA has no subject");
  issuer->subject_canonical_ = issuer->subject_.Canonical();
  issuer->certificate_der_ = std::move(info.der);
  issuer->key_id_ = info.ski.empty() ? KeyIdentifier(info.spki_der) : std::move(info.ski);
  issuer->path_len_ = info.path_len;
  issuer->not_before_ = info.not_before;
  issuer->not_after_ = info.not_after;
  return issuer;
}

absl::StatusOr<IssuancePermit> Issuer::Prepare(const Profile& profile, const IssuanceRequest& request) const {
  IssuancePermit permit;
  permit.issuer_ = this;
  permit.profile_ = profile;
  ASSIGN_OR_RETURN(permit.request_, CheckedRequest(profile, request));
  const IssuanceRequest& checked = permit.request_;
  const absl::Time now = clock_.Now();
  if (now > not_after_) {
    return base::WithReason(absl::FailedPreconditionError(absl::StrCat("the issuing CA expired at ",
                                                                       PrintTime(not_after_), "; renew it")),
                            "CA_EXPIRED");
  }
  if (checked.not_after > not_after_) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat("the certificate would be valid until ",
                                                   PrintTime(checked.not_after), ", longer than its CA (",
                                                   PrintTime(not_after_), "); shorten it or renew the CA")),
        "CA_EXPIRES_FIRST");
  }
  if (checked.not_after <= now) {
    return base::InvalidField("not_after", "VALIDITY_OVER", "the validity would already be over");
  }
  if (checked.not_before < not_before_ - kMaxBackdating) {
    return base::InvalidField(
        "not_before", "VALIDITY_BEFORE_CA",
        absl::StrCat("may be at most 24 hours before the CA's own ", PrintTime(not_before_)));
  }
  if (checked.subject.Canonical() == subject_canonical_) {
    return base::InvalidField(
        "subject", "SUBJECT_EQUALS_CA",
        "the subject must differ from the CA's, or no phone can validate the certificate");
  }
  if (profile.ca && path_len_) {
    const int longest = *path_len_ - 1;
    if (longest < 0 || profile.path_len.value_or(longest) > longest) {
      return base::WithReason(
          absl::FailedPreconditionError(
              longest < 0 ? "this CA may issue end-entity certificates only (path length 0)"
                          : absl::StrCat("below this CA the path length is at most ", longest)),
          "CA_PATH_LENGTH");
    }
    if (!permit.profile_.path_len) permit.profile_.path_len = longest;
  }
  ASSIGN_OR_RETURN(permit.serial_, RandomSerial());
  ASSIGN_OR_RETURN(permit.tbs_der_, BuildBody({.profile = permit.profile_,
                                               .request = checked,
                                               .serial = permit.serial_,
                                               .issuer = subject_,
                                               .authority_key_id = key_id_,
                                               .self_signed = false,
                                               .signing_algorithm = key_.algorithm()}));
  permit.tbs_digest_ = Sha256(permit.tbs_der_);
  return permit;
}

absl::StatusOr<base::Bytes> Issuer::Sign(IssuancePermit permit) const {
  if (permit.issuer_ != this) return absl::InvalidArgumentError("the permit was prepared by another issuer");
  ASSIGN_OR_RETURN(base::Bytes certificate, SignBody(permit.tbs_der_, key_, permit.profile_.digest));
  RETURN_IF_ERROR(LintCertificate(certificate, {.profile = permit.profile_,
                                                .request = permit.request_,
                                                .serial = permit.serial_,
                                                .issuer_name_der = subject_.der(),
                                                .issuer_key = key_.get()}));
  return certificate;
}

absl::StatusOr<base::Bytes> SelfSignCa(const PrivateKey& key, const DistinguishedName& subject,
                                       absl::Time not_before, absl::Time not_after, const Profile& profile) {
  if (!profile.ca)
    return base::InvalidField("profile", "PROFILE_INVALID", "a root certificate needs a CA profile");
  if (subject.CommonNameCount() == 0) {
    return base::InvalidField("subject", "DN_WITHOUT_CN", "the name of a CA needs a CN");
  }
  IssuanceRequest request;
  request.subject = subject;
  request.spki_der = key.spki_der();
  request.not_before = not_before;
  request.not_after = not_after;
  ASSIGN_OR_RETURN(request, CheckedRequest(profile, request));
  ASSIGN_OR_RETURN(const base::Bytes serial, RandomSerial());
  const base::Bytes key_id = KeyIdentifier(key.spki_der());
  ASSIGN_OR_RETURN(const base::Bytes body, BuildBody({.profile = profile,
                                                      .request = request,
                                                      .serial = serial,
                                                      .issuer = subject,
                                                      .authority_key_id = key_id,
                                                      .self_signed = true,
                                                      .signing_algorithm = key.algorithm()}));
  ASSIGN_OR_RETURN(base::Bytes certificate, SignBody(body, key, profile.digest));
  RETURN_IF_ERROR(LintCertificate(certificate, {.profile = profile,
                                                .request = request,
                                                .serial = serial,
                                                .issuer_name_der = subject.der(),
                                                .issuer_key = key.get()}));
  return certificate;
}

}  // namespace phonepki::ca
