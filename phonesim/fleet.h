// Thousands of phones in one process, each on its own loopback address.
#pragma once

#include <string>

#include "phonesim/options.h"

namespace phonesim {

// Runs until SIGTERM or SIGINT. Prints {"event":"ready",…} when every phone listens. Exit status.
int RunFleet(const Options& options);

}  // namespace phonesim
