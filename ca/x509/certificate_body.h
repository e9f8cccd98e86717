// The to-be-signed part of a certificate, and the checks that do not depend on who issues it.
#pragma once

#include <optional>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "ca/x509/key.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

struct BodyInputs {
  const Profile& profile;
  const IssuanceRequest& request;
  const base::Bytes& serial;
  const DistinguishedName& issuer;
  const base::Bytes& authority_key_id;
  bool self_signed;
  KeyAlgorithm signing_algorithm;
};

// Times cut to whole seconds. Errors as documented at Issuer::Prepare.
absl::StatusOr<IssuanceRequest> CheckedRequest(const Profile& profile, const IssuanceRequest& request);

// The inputs must have been checked.
absl::StatusOr<base::Bytes> BuildBody(const BodyInputs& inputs);

// Signs `tbs_der` and puts the certificate together.
absl::StatusOr<base::Bytes> SignBody(const base::Bytes& tbs_der, const PrivateKey& key,
                                     const std::string& digest);

// 159 random bits, as the octets of a positive integer.
absl::StatusOr<base::Bytes> RandomSerial();

// SHA-1 of the key's bit string (RFC 5280 section 4.2.1.2, method 1). An identifier, not a safeguard.
base::Bytes KeyIdentifier(const base::Bytes& spki_der);

}  // namespace phonepki::ca
