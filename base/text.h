// Debian builds absl::string_view as a type of its own; these are the only crossings to std::string_view.
#pragma once

#include <string_view>

#include <absl/strings/string_view.h>

namespace phonepki::base {

inline absl::string_view ToAbsl(std::string_view text) {
  return {text.data(), text.size()};
}
inline std::string_view ToStd(absl::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace phonepki::base
