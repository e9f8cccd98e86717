// The program: arguments in, exit code out.
#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"

namespace phonepki::cli {

// `arguments` without the program's name.
int RunApp(std::vector<std::string> arguments, Environment& environment);

}  // namespace phonepki::cli
