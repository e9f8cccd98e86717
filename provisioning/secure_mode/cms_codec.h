// secure-mode-data as CMS: what `openssl cms -decrypt -pwri_password` opens. Ours, not the vendor's.
#pragma once

#include <string>
#include <vector>

#include "provisioning/secure_mode/secure_mode_data.h"

namespace phonepki::provisioning {

// EnvelopedData (RFC 5652) with one password recipient: PBKDF2 with HMAC-SHA-256, PWRI-KEK (RFC 3211),
// AES-256-CBC for both key and content. OpenSSL's own CMS_add0_recipient_password() is bound to HMAC-SHA-1,
// so the structure is written here.
class CmsCodec final : public SecureModeDataCodec {
 public:
  static constexpr char kName[] = "cms";
  // Some 0.03 s on a server, more on a phone. No number of rounds makes five digits safe: see pin.h.
  static constexpr int kDefaultIterations = 100'000;

  // `iterations` of PBKDF2, at least one.
  explicit CmsCodec(int iterations) : iterations_(iterations) {}

  std::string name() const override { return kName; }
  absl::StatusOr<std::string> Seal(const std::vector<SecureModeItem>& items,
                                   const base::Secret& password) const override;

 private:
  const int iterations_;
};

}  // namespace phonepki::provisioning
