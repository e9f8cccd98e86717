// UTF-8, read strictly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace phonepki::ca {

// Takes the next code point off `text`. False, and `text` unchanged, for an overlong form, a surrogate, a
// value beyond U+10FFFF or a cut sequence.
bool NextCodePoint(std::string_view* text, std::uint32_t* code_point);
void AppendUtf8(std::uint32_t code_point, std::string* out);
// The number of characters, or -1 if `text` is not UTF-8.
int CountCharacters(std::string_view text);
// C0, DEL, C1, line separators, and the marks that reorder text on a screen.
bool IsControl(std::uint32_t code_point);

}  // namespace phonepki::ca
