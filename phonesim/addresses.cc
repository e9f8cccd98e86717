#include "phonesim/addresses.h"

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <stdexcept>

#include <boost/asio/ip/address.hpp>

namespace phonesim {

std::string AddressOf(const std::string& first, int n) {
  const auto address = boost::asio::ip::make_address(first);
  if (address.is_v6()) {
    auto octets = address.to_v6().to_bytes();
    for (int at = 15, carry = n; at >= 0 && carry > 0; --at) {
      carry += octets[at];
      octets[at] = static_cast<unsigned char>(carry & 255);
      carry >>= 8;
    }
    return boost::asio::ip::address_v6(octets).to_string();
  }
  const std::uint32_t start = address.to_v4().to_uint();
  // Blocks of 254 usable addresses.
  const std::uint32_t offset = (start & 255) - 1 + n;
  return boost::asio::ip::address_v4((start & ~255u) + (offset / 254) * 256 + offset % 254 + 1).to_string();
}

std::string InUri(const std::string& address) {
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

std::pair<std::string, int> ParseServer(const std::string& text) {
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  boost::asio::ip::make_address(host, error);
  const int port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
  if (error || InUri(host) + ":" + std::to_string(port) != text || port < 1 || port > 65535) {
    throw std::invalid_argument(text + " must be address:port, like 127.0.0.1:18443 or [::1]:18443");
  }
  return {host, port};
}

std::string MacOf(const std::string& first, int n) {
  std::string digits;
  for (char c : first) {
    if (c != ':') digits += c;
  }
  char text[13];
  std::snprintf(text, sizeof text, "%012llX", std::strtoull(digits.c_str(), nullptr, 16) + n);
  std::string mac;
  for (int i = 0; i < 12; i += 2) mac += (i == 0 ? "" : ":") + std::string(text + i, 2);
  return mac;
}

std::string UpperMac(std::string mac) {
  for (char& c : mac) c = c == '-' ? ':' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return mac;
}

}  // namespace phonesim
