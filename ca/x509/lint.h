// The last look at a certificate before it leaves the issuer: the octets are read back by code that shares
// nothing with what wrote them, and compared with what was asked for. A finding is our bug (kInternal), and
// the certificate is not handed out.
#pragma once

#include <absl/status/status.h>
#include <openssl/evp.h>

#include "base/bytes.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

struct LintExpectation {
  const Profile& profile;
  const IssuanceRequest& request;
  const base::Bytes& serial;
  const base::Bytes& issuer_name_der;
  EVP_PKEY* issuer_key;  // not owned
};

absl::Status LintCertificate(const base::Bytes& certificate_der, const LintExpectation& expected);

}  // namespace phonepki::ca
