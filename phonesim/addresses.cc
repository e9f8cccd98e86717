#include "phonesim/addresses.h"

#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <boost/asio/ip/address_v4.hpp>

namespace phonesim {

std::string AddressOf(const std::string& first, int n) {
  const std::uint32_t start = boost::asio::ip::make_address_v4(first).to_uint();
  // Blocks of 254 usable addresses.
  const std::uint32_t offset = (start & 255) - 1 + n;
  return boost::asio::ip::address_v4((start & ~255u) + (offset / 254) * 256 + offset % 254 + 1).to_string();
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
