// Envelope encryption of private keys at rest. Every secret gets a random data key of its own; the data key
// is wrapped by the master key, which is a file and never in the database. Both layers are AES-256-GCM and
// both authenticate the purpose ("ca-key:12"), so that a blob copied to another row does not open.
//
// Format of a blob, version 1:
//   "PK" 01 | master key id (8) | nonce (12) | wrapped data key (32) | tag (16) | nonce (12) | ciphertext |
//   tag (16)
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"

namespace phonepki::ca {

class MasterKey {
 public:
  // Reads the file, or creates it: 32 random octets in base64, mode 0600. Of several processes that create it
  // at once, one wins and all get its key; the file is never seen half written. kFailedPrecondition: others
  // than the owner can read or write it (MASTER_KEY_PERMISSIONS), it is not a key (MASTER_KEY_MALFORMED).
  // kUnavailable, reason MASTER_KEY_IO: it cannot be read or created.
  static absl::StatusOr<MasterKey> LoadOrCreate(const std::string& path);
  // kInvalidArgument, reason MASTER_KEY_MALFORMED: not 32 octets.
  static absl::StatusOr<MasterKey> FromOctets(base::Secret octets);

  // 16 hexadecimal digits; tells keys apart, says nothing about the key.
  const std::string& id() const { return id_; }

 private:
  friend class Keystore;
  MasterKey(base::Secret octets, base::Bytes id_octets, std::string id);

  base::Secret octets_;
  base::Bytes id_octets_;
  std::string id_;
};

// Thread-safe.
class Keystore {
 public:
  explicit Keystore(MasterKey master_key);

  // kInvalidArgument: `purpose` is empty.
  absl::StatusOr<base::Bytes> Wrap(const base::Secret& secret, std::string_view purpose) const;
  // kInvalidArgument, reason KEYSTORE_BLOB_MALFORMED: not a blob of a version known here.
  // kFailedPrecondition, reason MASTER_KEY_UNKNOWN: wrapped under another master key.
  // kDataLoss, reason KEYSTORE_BLOB_REFUSED: changed, or wrapped for another purpose.
  absl::StatusOr<base::Secret> Unwrap(const base::Bytes& blob, std::string_view purpose) const;

  const std::string& master_key_id() const { return master_key_.id(); }

 private:
  const MasterKey master_key_;
};

}  // namespace phonepki::ca
