// What the program sees of its surroundings, handed in by main() so that tests can set it.
#pragma once

#include <functional>
#include <istream>
#include <optional>
#include <ostream>
#include <string>

#include <absl/time/time.h>

#include "base/clock.h"

namespace phonepki::cli {

struct TerminalSize {
  int columns = 100;
  int rows = 25;
};

struct Environment {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::function<TerminalSize()> terminal_size;
  std::function<std::optional<std::string>(const std::string& name)> variable;
  absl::TimeZone zone;
  const base::Clock& clock;  // not owned
};

// The process as it is. `clock` must outlive the result.
Environment ProcessEnvironment(const base::Clock& clock);

}  // namespace phonepki::cli
