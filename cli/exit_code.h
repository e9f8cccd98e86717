// What the shell gets to know. The numbers are an interface: scripts test them.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <grpcpp/support/status.h>

#include "cli/environment.h"

namespace phonepki::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitInternal = 1,  // our bug, or the server's
  kExitUsage = 2,     // the command line or a value in it is wrong
  kExitNotFound = 3,
  kExitPrecondition = 4,  // exists already, or its state does not allow it
  kExitPermission = 5,    // not authenticated, or not allowed
  kExitUnavailable = 6,   // no connection, too slow, or overloaded: the same command may work later
  kExitNotAll = 7,        // the awaited work is over and not all of it succeeded
};

ExitCode ExitCodeOf(const absl::Status& status);

// Takes reason, field and correlation id out of the ErrorDetail that the server sent along.
absl::Status FromGrpc(const grpc::Status& status);

// "error: ..." and, when known, field, reason and correlation id on a line below.
void PrintError(Environment& environment, const absl::Status& status);

}  // namespace phonepki::cli
