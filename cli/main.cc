#include <stdlib.h>

#include <csignal>
#include <iostream>

#include "cli/app.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  std::signal(SIGPIPE, SIG_DFL);        // "phonepki job list | head" ends quietly
  setenv("GRPC_VERBOSITY", "NONE", 0);  // its causes are in our error texts already
  const phonepki::base::SystemClock clock;
  phonepki::cli::Environment environment = phonepki::cli::ProcessEnvironment(clock);
  const int code = phonepki::cli::RunApp(std::vector<std::string>(argv + 1, argv + argc), environment);
  std::cout.flush();
  std::cerr.flush();
  return code;
}
