#include "ca/x509/utf8.h"

namespace phonepki::ca {

bool NextCodePoint(std::string_view* text, std::uint32_t* code_point) {
  if (text->empty()) return false;
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>((*text)[i]); };
  const std::uint8_t lead = at(0);
  std::size_t size = 1;
  std::uint32_t value = lead;
  if (lead >= 0x80) {
    if (lead >= 0xc2 && lead <= 0xdf) {
      size = 2, value = lead & 0x1fu;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      size = 3, value = lead & 0x0fu;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      size = 4, value = lead & 0x07u;
    } else {
      return false;
    }
  }
  if (text->size() < size) return false;
  for (std::size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return false;
    value = value << 6 | (at(i) & 0x3fu);
  }
  if ((size == 3 && value < 0x800) || (size == 4 && value < 0x10000) || value > 0x10ffff ||
      (value >= 0xd800 && value <= 0xdfff)) {
    return false;
  }
  *code_point = value;
  text->remove_prefix(size);
  return true;
}

void AppendUtf8(std::uint32_t c, std::string* out) {
  const auto put = [out](std::uint32_t octet) { out->push_back(static_cast<char>(octet)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }
}

int CountCharacters(std::string_view text) {
  int count = 0;
  std::uint32_t c;
  for (; !text.empty(); ++count) {
    if (!NextCodePoint(&text, &c)) return -1;
  }
  return count;
}

bool IsControl(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

}  // namespace phonepki::ca
