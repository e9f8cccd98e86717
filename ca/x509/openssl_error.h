// Turns OpenSSL's error queue into a Status. A call is: ERR_clear_error(), call, check, OpenSslError("doing what").
#pragma once

#include <string>

#include <absl/status/status.h>

namespace phonepki::ca {

// kInternal, with everything in the queue, which is empty afterwards.
absl::Status OpenSslError(const std::string& doing);

}  // namespace phonepki::ca
