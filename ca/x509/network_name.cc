#include "ca/x509/network_name.h"

#include <algorithm>
#include <utility>

#include <arpa/inet.h>

#include <absl/strings/ascii.h>

namespace phonepki::ca {
namespace {

bool IsLabel(std::string_view label) {
  if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return c == '-' || absl::ascii_isalnum(static_cast<unsigned char>(c)); });
}

}  // namespace

bool IsDnsName(std::string_view name, bool allow_wildcard) {
  if (name.empty() || name.size() > 253) return false;
  if (allow_wildcard && name.substr(0, 2) == "*.") name.remove_prefix(2);
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!IsLabel(label)) return false;
    if (dot == std::string_view::npos) {
      return !std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
    }
    name.remove_prefix(dot + 1);
  }
}

std::optional<base::Bytes> ParseIp(std::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  std::uint8_t octets[16];
  if (inet_pton(AF_INET, terminated.c_str(), octets) == 1) return base::Bytes(octets, octets + 4);
  if (inet_pton(AF_INET6, terminated.c_str(), octets) == 1) return base::Bytes(octets, octets + 16);
  return std::nullopt;
}

std::string PrintIp(const base::Bytes& octets) {
  if (octets.size() != 4 && octets.size() != 16) return "";
  char buffer[INET6_ADDRSTRLEN];
  const char* text = inet_ntop(octets.size() == 4 ? AF_INET : AF_INET6, octets.data(), buffer, sizeof buffer);
  return text == nullptr ? "" : text;
}

base::Bytes UnmapIp(base::Bytes octets) {
  const base::Bytes mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (octets.size() != 16 || !std::equal(mapped.begin(), mapped.end(), octets.begin())) return octets;
  return base::Bytes(octets.end() - 4, octets.end());
}

bool IsSameIp(std::string_view a, std::string_view b) {
  std::optional<base::Bytes> first = ParseIp(a), second = ParseIp(b);
  return first && second && UnmapIp(*std::move(first)) == UnmapIp(*std::move(second));
}

}  // namespace phonepki::ca
