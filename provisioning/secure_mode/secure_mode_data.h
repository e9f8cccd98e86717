// The value of the item secure-mode-data: everything a phone needs for secure mode, packed and encrypted
// under a part of its PIN (docs/secure-mode-data.md). How the vendor packs it is not public; hence the
// interface.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/secret.h"

namespace phonepki::provisioning {

// Base64 characters. A message to a phone is limited to 50 kB, and what belongs together must be in one
// message.
inline constexpr std::size_t kMaxSecureModeData = 49'000;

// An item that would stand in WriteItems if there were no PIN.
struct SecureModeItem {
  std::string name;
  std::optional<int> index;
  base::Secret value;
};

// Thread-safe.
class SecureModeDataCodec {
 public:
  virtual ~SecureModeDataCodec() = default;

  // By which the configuration names it.
  virtual std::string name() const = 0;

  // Base64 in one line. `password` is PasswordOfPin(), never the whole PIN. kInvalidArgument on "items":
  // SECURE_MODE_ITEM (a name or value that cannot be written), SECURE_MODE_DATA_TOO_LARGE; on "password":
  // PASSWORD_EMPTY. kInternal: the random source or the library failed.
  virtual absl::StatusOr<std::string> Seal(const std::vector<SecureModeItem>& items,
                                           const base::Secret& password) const = 0;
};

// "cms". kInvalidArgument on `field`, reason SECURE_MODE_CODEC_UNKNOWN, naming those there are.
absl::StatusOr<std::unique_ptr<SecureModeDataCodec>> MakeSecureModeDataCodec(std::string_view name,
                                                                             const std::string& field);

// What codecs are made of.

// kInvalidArgument on "items", reason SECURE_MODE_DATA_TOO_LARGE.
absl::Status SecureModeDataTooLarge();

// The ItemList element as phones know it from WriteItems. kInvalidArgument on "items": SECURE_MODE_ITEM,
// SECURE_MODE_DATA_TOO_LARGE. The message names the item, never its value.
absl::StatusOr<base::Secret> PrintItemList(const std::vector<SecureModeItem>& items);

}  // namespace phonepki::provisioning
