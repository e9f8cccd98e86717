// Octet strings that are not secret: DER, digests, serial numbers. Secret octets live in base::Secret.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phonepki::base {

using Bytes = std::vector<std::uint8_t>;

}  // namespace phonepki::base
