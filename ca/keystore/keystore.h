// Envelope encryption of private keys at rest (design.md 7): a random data key per secret (AES-256-GCM), itself
// wrapped by the master key, which is not in the database. The purpose ("ca-key:12") is authenticated with both, so
// that a blob moved to another row does not open.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"

namespace phonepki::ca {

class MasterKey {
 public:
  // A file of 32 random octets in base64, made with mode 0600 when it is not there (by one of several processes).
  // kFailedPrecondition MASTER_KEY_PERMISSIONS: readable by group or others; MASTER_KEY_MALFORMED.
  static absl::StatusOr<MasterKey> LoadOrCreate(const std::string& path);

  const base::Secret& key() const { return key_; }
  // Names the key without telling it: the start of its SHA-256.
  const base::Bytes& id() const { return id_; }

 private:
  explicit MasterKey(base::Secret key);
  base::Secret key_;
  base::Bytes id_;
};

// Thread-safe.
class Keystore {
 public:
  explicit Keystore(MasterKey master) : master_(std::move(master)) {}

  absl::StatusOr<base::Bytes> Wrap(const base::Secret& secret, std::string_view purpose) const;
  // kFailedPrecondition WRONG_MASTER_KEY; kDataLoss ENVELOPE_DAMAGED: changed, or made for another purpose.
  absl::StatusOr<base::Secret> Unwrap(const base::Bytes& envelope, std::string_view purpose) const;

 private:
  MasterKey master_;
};

}  // namespace phonepki::ca
