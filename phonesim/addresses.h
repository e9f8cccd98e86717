// Where the phones of a fleet live and what they are called.
#pragma once

#include <string>

namespace phonesim {

// The n-th phone's address; last octets 0 and 255 are skipped.
std::string AddressOf(const std::string& first, int n);
// Upper case with colons.
std::string MacOf(const std::string& first, int n);
// As MacOf() writes it.
std::string UpperMac(std::string mac);

}  // namespace phonesim
