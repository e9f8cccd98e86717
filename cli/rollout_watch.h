// Watching a roll-out until it is over: bars in place on a terminal, a line per change in a pipe, one JSON
// message per line with -o json. A server that restarts or fails over in between is asked again.
#pragma once

#include <string>
#include <vector>

#include "cli/session.h"

namespace phonepki::cli {

// `names`: "deployments/{id}", at least one. kExitNotAll unless every job succeeded.
absl::StatusOr<ExitCode> WatchRollout(Session& session, const std::vector<std::string>& names);

// How long a stream that was up before may stay broken; tests shorten it.
extern absl::Duration g_reconnect_patience;

// Runs `open` (one stream, to its end) again while the server is unavailable, for at most
// g_reconnect_patience since the last progress. `progressed` is set by `open` when it received something.
absl::Status KeepStreaming(const std::function<absl::Status(bool* progressed)>& open);

}  // namespace phonepki::cli
