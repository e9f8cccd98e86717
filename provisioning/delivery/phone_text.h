// Text as phones send it: in whatever encoding somebody typed it, as long as they like.
#pragma once

#include <cstddef>
#include <string>

namespace phonepki::provisioning {

// At most `limit` octets, never cut inside a UTF-8 character.
std::string Clip(std::string text, std::size_t limit);

// The database takes UTF-8 only, and an odd letter in a name must not keep a phone from registering: what is
// no UTF-8 becomes U+FFFD.
void MakeUtf8(std::string& text);

}  // namespace phonepki::provisioning
