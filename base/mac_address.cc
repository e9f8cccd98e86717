#include "base/mac_address.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/text.h"

namespace phonepki::base {

absl::StatusOr<std::string> ParseMac(std::string_view text) {
  std::string digits;
  for (char c : absl::StripAsciiWhitespace(ToAbsl(text))) {
    if (c == ':' || c == '-' || c == '.') continue;
    digits += absl::ascii_toupper(c);
  }
  const bool hex = digits.size() == 12 &&
                   std::all_of(digits.begin(), digits.end(), [](char c) { return absl::ascii_isxdigit(c); });
  int first = 0;
  if (!hex || digits == "000000000000" || !absl::SimpleHexAtoi(digits.substr(0, 2), &first) ||
      (first & 1) != 0) {
    return InvalidField("mac", "MAC", "must be the MAC address of a device, for example 00:1A:E8:00:00:01");
  }
  std::string mac;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    absl::StrAppend(&mac, i == 0 ? "" : ":", digits.substr(i, 2));
  return mac;
}

}  // namespace phonepki::base
