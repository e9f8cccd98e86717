// Where the phones of a fleet live and what they are called.
#pragma once

#include <string>
#include <utility>

namespace phonesim {

// The n-th phone's address; in IPv4 last octets 0 and 255 are skipped. Throws boost::system::system_error
// when `first` is no address.
std::string AddressOf(const std::string& first, int n);
// As it stands in a URI: IPv6 in brackets.
std::string InUri(const std::string& address);
// "192.0.2.1:18443" or "[fd00::1]:18443". Throws std::invalid_argument.
std::pair<std::string, int> ParseServer(const std::string& text);
// Upper case with colons.
std::string MacOf(const std::string& first, int n);
// As MacOf() writes it.
std::string UpperMac(std::string mac);

}  // namespace phonesim
