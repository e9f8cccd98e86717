// Help pages.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace phonepki::cli {

// For the last command of `path`. Lines are wrapped at `width`.
std::string HelpPage(const std::vector<const Command*>& path, const std::vector<Option>& globals, int width);

}  // namespace phonepki::cli
