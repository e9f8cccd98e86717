// Private keys that stand in PEM text under a pass phrase.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "base/secret.h"
#include "ca/x509/password_based.h"

namespace phonepki::ca {

// kInvalidArgument on "passphrase": PASSPHRASE_NEEDED if it is empty, else WRONG_PASSPHRASE. `what` is what
// it does not open: "the private key".
absl::Status PassphraseRefused(const base::Secret& passphrase, const std::string& what);

// "ENCRYPTED PRIVATE KEY"; gives PKCS#8. Also KEY_MALFORMED on "file".
absl::StatusOr<base::Secret> DecryptPkcs8(const base::Secret& der, const base::Secret& passphrase,
                                          DerivationBudget* budget);

// A key encrypted in the way of SSLeay: "Proc-Type: 4,ENCRYPTED" in the header of its PEM block. Works in
// place. Also KEY_MALFORMED on "file".
absl::StatusOr<base::Secret> DecryptPemKey(std::string header, base::Secret content,
                                           const base::Secret& passphrase);

}  // namespace phonepki::ca
