// MAC addresses: the identity of a phone.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace phonepki::base {

// Canonical "00:1A:E8:00:00:01". Takes colons, hyphens, dots or nothing between the digits. kInvalidArgument
// MAC: not a MAC, all zero, or a group address.
absl::StatusOr<std::string> ParseMac(std::string_view text);

}  // namespace phonepki::base
