// A call into OpenSSL is: ERR_clear_error(), call, check, OpenSslError("what we were doing").
#pragma once

#include <string>

#include <absl/status/status.h>

namespace phonepki::ca {

// Drains this thread's OpenSSL error queue into the message. kInternal unless the caller knows better.
absl::Status OpenSslError(const std::string& what);
absl::Status OpenSslError(absl::StatusCode code, const std::string& what);

}  // namespace phonepki::ca
