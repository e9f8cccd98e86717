// Command lines: what was asked for. The only place that knows the parsing library.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace phonepki::cli {

struct ParsedLine {
  const Command* command = nullptr;  // what to run; null when help, version or an error is due
  std::vector<const Command*> path;  // root first, as far as it was understood
  bool help = false;
  bool version = false;
  std::string error;  // a sentence
};

// Fills the targets of the options it finds. `root` and `globals` must outlive the result.
ParsedLine ParseCommandLine(const Command& root, const std::vector<Option>& globals,
                            const std::vector<std::string>& arguments);

}  // namespace phonepki::cli
