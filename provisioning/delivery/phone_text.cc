#include "provisioning/delivery/phone_text.h"

#include <cstdint>
#include <string_view>
#include <utility>

#include "ca/x509/utf8.h"

namespace phonepki::provisioning {

std::string Clip(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xc0) == 0x80) --limit;
  text.resize(limit);
  return text;
}

void MakeUtf8(std::string& text) {
  if (ca::CountCharacters(text) >= 0) return;
  std::string clean;
  std::string_view rest = text;
  std::uint32_t character = 0;
  while (!rest.empty()) {
    if (!ca::NextCodePoint(&rest, &character)) {
      character = 0xfffd;
      rest.remove_prefix(1);
    }
    ca::AppendUtf8(character, &clean);
  }
  text = std::move(clean);
}

}  // namespace phonepki::provisioning
