// Text as a terminal shows it: how wide it is, cut to fit, and free of control characters. Much of what we
// print was sent by phones, and a phone may be a stranger: nothing it says may steer the administrator's
// terminal.
#pragma once

#include <string>
#include <string_view>

namespace phonepki::cli {

enum class Color { kNone, kRed, kGreen, kYellow, kCyan, kDim, kBold };

// Control characters, direction overrides and broken UTF-8 become U+FFFD; a line feed becomes a space.
std::string Printable(std::string_view text);

// Columns that printable UTF-8 takes: 2 for East Asian wide characters and emoji, 0 for combining marks.
int DisplayWidth(std::string_view text);

// Unchanged when it fits, else cut and ended with "…". Width 0 gives nothing.
std::string Truncate(std::string_view text, int width);

// Truncated or filled with spaces to exactly `width` columns.
std::string Fit(std::string_view text, int width, bool right = false);

std::string Paint(std::string_view text, Color color, bool enabled);

}  // namespace phonepki::cli
