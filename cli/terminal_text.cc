#include "cli/terminal_text.h"

namespace phonepki::cli {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";
constexpr std::string_view kEllipsis = "…";

// Takes one code point off the front of `text`; an invalid byte gives kReplacement and is consumed alone.
char32_t Next(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  int length = lead < 0x80                   ? 1
               : lead >= 0xF0 && lead < 0xF5 ? 4
               : lead >= 0xE0 && lead < 0xF0 ? 3
               : lead >= 0xC2 && lead < 0xE0 ? 2
                                             : 0;
  if (length == 0 || text.size() < static_cast<std::size_t>(length)) {
    text.remove_prefix(1);
    return kReplacement;
  }
  char32_t point = length == 1 ? lead : lead & (0x7F >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      text.remove_prefix(1);
      return kReplacement;
    }
    point = point << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  text.remove_prefix(overlong || surrogate || point > 0x10FFFF ? 1 : length);
  return overlong || surrogate || point > 0x10FFFF ? kReplacement : point;
}

bool In(char32_t point, char32_t first, char32_t last) {
  return point >= first && point <= last;
}

bool IsUnsafe(char32_t point) {
  return point < 0x20 || In(point, 0x7F, 0x9F) || In(point, 0x200E, 0x200F) || In(point, 0x2028, 0x202E) ||
         In(point, 0x2066, 0x2069) || point == kReplacement;
}

int Width(char32_t point) {
  if (In(point, 0x0300, 0x036F) || In(point, 0x200B, 0x200D) || In(point, 0xFE00, 0xFE0F) ||
      In(point, 0x1AB0, 0x1AFF) || In(point, 0x20D0, 0x20FF) || point == 0xFEFF) {
    return 0;
  }
  if (In(point, 0x1100, 0x115F) || In(point, 0x2E80, 0xA4CF) || In(point, 0xAC00, 0xD7A3) ||
      In(point, 0xF900, 0xFAFF) || In(point, 0xFE30, 0xFE6F) || In(point, 0xFF00, 0xFF60) ||
      In(point, 0xFFE0, 0xFFE6) || In(point, 0x1F300, 0x1FAFF) || In(point, 0x20000, 0x3FFFD)) {
    return 2;
  }
  return 1;
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::string_view before = text;
    const char32_t point = Next(text);
    if (point == '\n' || point == '\t') {
      result += ' ';
    } else if (IsUnsafe(point)) {
      result += kReplacementUtf8;
    } else {
      result += before.substr(0, before.size() - text.size());
    }
  }
  return result;
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) width += Width(Next(text));
  return width;
}

std::string Truncate(std::string_view text, int width) {
  if (width <= 0) return "";
  if (DisplayWidth(text) <= width) return std::string(text);
  std::string_view rest = text;
  std::size_t kept = 0;
  int used = 0;
  while (!rest.empty()) {
    used += Width(Next(rest));
    if (used > width - 1) break;
    kept = text.size() - rest.size();
  }
  return std::string(text.substr(0, kept)) + std::string(kEllipsis);
}

std::string Fit(std::string_view text, int width, bool right) {
  std::string cut = Truncate(text, width);
  const int missing = width - DisplayWidth(cut);
  if (missing <= 0) return cut;
  return right ? std::string(missing, ' ') + cut : cut + std::string(missing, ' ');
}

std::string Paint(std::string_view text, Color color, bool enabled) {
  const char* code = nullptr;
  switch (color) {
    case Color::kNone:
      break;
    case Color::kRed:
      code = "31";
      break;
    case Color::kGreen:
      code = "32";
      break;
    case Color::kYellow:
      code = "33";
      break;
    case Color::kCyan:
      code = "36";
      break;
    case Color::kDim:
      code = "2";
      break;
    case Color::kBold:
      code = "1";
      break;
  }
  if (!enabled || code == nullptr) return std::string(text);
  return std::string("\x1b[") + code + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace phonepki::cli
