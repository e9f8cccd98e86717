// Turns an approved request into a signed certificate, in two calls, so that what we intend to sign is on
// record before the CA key is used:
//   1. Prepare() builds the exact octets to be signed and checks them against the profile.
//      The caller records the permit's serial and digest, and commits.
//   2. Sign() spends the permit and uses the key. The caller stores the certificate.
// A crash between the two leaves a record of the intent, never an unrecorded certificate.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "ca/x509/distinguished_name.h"
#include "ca/x509/key.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

class Issuer;

// A certificate may begin this much before the certificate of its CA, so that a phone whose clock is slow
// accepts the first certificates of a new CA.
inline constexpr absl::Duration kMaxBackdating = absl::Hours(24);

// Proof that a certificate body passed every check. Move-only: one permit, one signature.
class IssuancePermit {
 public:
  IssuancePermit(IssuancePermit&&) noexcept = default;
  IssuancePermit& operator=(IssuancePermit&&) noexcept = default;

  // Big-endian, positive, no leading zero, at most 20 octets.
  const base::Bytes& serial() const { return serial_; }
  // SHA-256 of tbs_der(), which is found again, octet for octet, in the certificate.
  const base::Bytes& tbs_digest() const { return tbs_digest_; }
  const base::Bytes& tbs_der() const { return tbs_der_; }
  const base::Bytes& subject_der() const { return request_.subject.der(); }
  absl::Time not_before() const { return request_.not_before; }
  absl::Time not_after() const { return request_.not_after; }

 private:
  friend class Issuer;
  IssuancePermit() = default;

  const Issuer* issuer_ = nullptr;  // the only issuer that may spend this permit
  Profile profile_;
  IssuanceRequest request_;
  base::Bytes serial_;
  base::Bytes tbs_der_;
  base::Bytes tbs_digest_;
};

// Thread-safe. Does no I/O.
class Issuer {
 public:
  // kInvalidArgument: CERTIFICATE_MALFORMED, NOT_A_CA, KEY_MISMATCH. An expired CA certificate is accepted
  // here: Prepare() refuses it, but its key may still have revocations to sign. `clock` must outlive the
  // issuer.
  static absl::StatusOr<std::unique_ptr<Issuer>> Create(const base::Bytes& ca_certificate_der, PrivateKey key,
                                                        const base::Clock& clock);
  ~Issuer();

  // kInvalidArgument (the field is named): VALIDITY_ORDER, VALIDITY_OVER, VALIDITY_BEFORE_CA, YEAR_2038,
  //   SUBJECT_EMPTY, SUBJECT_EQUALS_CA, COMMON_NAME_TOO_LONG, SAN_INVALID, KEY_UNSUPPORTED, KEY_TOO_SHORT,
  //   DIGEST_REFUSED, URL_INVALID, PROFILE_INVALID.
  // kFailedPrecondition: CA_EXPIRES_FIRST, CA_EXPIRED, CA_PATH_LENGTH.
  absl::StatusOr<IssuancePermit> Prepare(const Profile& profile, const IssuanceRequest& request) const;

  // The certificate's DER, after it passed lint.h. kInternal: it did not, or the key failed; the permit is
  // spent. kInvalidArgument: the permit is another issuer's.
  absl::StatusOr<base::Bytes> Sign(IssuancePermit permit) const;

  const base::Bytes& certificate_der() const { return certificate_der_; }
  const DistinguishedName& subject() const { return subject_; }
  absl::Time not_before() const { return not_before_; }
  absl::Time not_after() const { return not_after_; }
  // The key identifier that issued certificates carry in their authority key identifier.
  const base::Bytes& key_id() const { return key_id_; }
  // For revocation lists and OCSP answers, which this class does not make.
  const PrivateKey& private_key() const { return key_; }

 private:
  Issuer(PrivateKey key, const base::Clock& clock) : key_(std::move(key)), clock_(clock) {}

  PrivateKey key_;
  const base::Clock& clock_;
  base::Bytes certificate_der_;
  DistinguishedName subject_;
  std::string subject_canonical_;
  base::Bytes key_id_;
  std::optional<int> path_len_;
  absl::Time not_before_;
  absl::Time not_after_;
};

// A root certificate. Errors as Issuer::Prepare; DN_WITHOUT_CN when `subject` has no common name.
absl::StatusOr<base::Bytes> SelfSignCa(const PrivateKey& key, const DistinguishedName& subject,
                                       absl::Time not_before, absl::Time not_after, const Profile& profile);

}  // namespace phonepki::ca
