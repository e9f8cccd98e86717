// Turns a request into a signed certificate, in two calls, so that what we intend to sign is on record before the
// CA key is used:
//   1. Prepare() builds the certificate body and checks it. The caller stores serial and digest and commits.
//   2. Sign() spends the permit and uses the key. The caller stores the certificate.
// A crash between the two leaves a record of the intent, never an unrecorded certificate.
#pragma once

#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "ca/x509/certificate.h"
#include "ca/x509/distinguished_name.h"
#include "ca/x509/key.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

struct IssuanceRequest {
  DistinguishedName subject;
  SubjectAltNames names;
  base::Bytes spki_der;
  absl::Time not_before, not_after;
};

// Proof that a certificate body passed every check. Move-only: one permit, one signature.
class IssuancePermit {
 public:
  IssuancePermit(IssuancePermit&&) noexcept = default;
  IssuancePermit& operator=(IssuancePermit&&) noexcept = default;

  // 20 octets, positive, 159 random bits.
  const base::Bytes& serial() const { return serial_; }
  // SHA-256 of the TBSCertificate that will be signed.
  const base::Bytes& tbs_digest() const { return tbs_digest_; }

 private:
  friend class Issuer;
  IssuancePermit() = default;
  X509Ptr body_;
  base::Bytes serial_, tbs_digest_;
};

// Thread-safe. Does no I/O.
class Issuer {
 public:
  // kInvalidArgument KEY_MISMATCH, NOT_A_CA.
  static absl::StatusOr<std::unique_ptr<Issuer>> Create(const base::Bytes& certificate, PrivateKey key);
  // A root: subject and issuer are the same, signed by its own key.
  static absl::StatusOr<base::Bytes> SelfSign(const PrivateKey& key, const DistinguishedName& subject,
                                              absl::Time not_before, absl::Time not_after, const Profile& profile);

  // kInvalidArgument: VALIDITY, YEAR_2038, SUBJECT_EQUALS_CA (C-12), KEY_TOO_WEAK, SUBJECT_ALT_NAME.
  // kFailedPrecondition CA_EXPIRES_FIRST: the certificate would outlive this CA.
  absl::StatusOr<IssuancePermit> Prepare(const Profile& profile, const IssuanceRequest& request) const;
  // DER. kInternal when the result is not what was prepared (lint).
  absl::StatusOr<base::Bytes> Sign(IssuancePermit permit) const;

  const CertificateInfo& certificate() const { return info_; }

 private:
  Issuer(X509Ptr certificate, CertificateInfo info, PrivateKey key)
      : certificate_(std::move(certificate)), info_(std::move(info)), key_(std::move(key)) {}

  X509Ptr certificate_;
  CertificateInfo info_;
  PrivateKey key_;
};

// Checks shared by roots and leaves; `field` names the end of validity for the caller.
absl::Status CheckValidity(absl::Time not_before, absl::Time not_after, bool allow_past_2038);

}  // namespace phonepki::ca
