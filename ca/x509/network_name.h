// Host names and IP addresses as they may stand in a certificate.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace phonepki::ca {

// Letters, digits, hyphens; labels of 1 to 63, 253 in all; the last label is not a number (that would be an
// address). `allow_wildcard`: "*" may be the first of several labels.
bool IsDnsName(std::string_view name, bool allow_wildcard = false);

// 4 or 16 octets in network order; nullopt if `text` is neither an IPv4 nor an IPv6 address.
std::optional<base::Bytes> ParseIp(std::string_view text);
// Dotted quad, or IPv6 in the form of RFC 5952. Empty if `octets` is of neither size.
std::string PrintIp(const base::Bytes& octets);

// As an IPv4 address what is one in the clothes of IPv6 (::ffff:192.0.2.1).
base::Bytes UnmapIp(base::Bytes octets);
// Whether both texts are addresses, and the same one however they are written.
bool IsSameIp(std::string_view a, std::string_view b);

}  // namespace phonepki::ca
