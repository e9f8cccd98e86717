#include "ca/x509/openssl_error.h"

#include <absl/strings/str_cat.h>
#include <openssl/err.h>

namespace phonepki::ca {

absl::Status OpenSslError(const std::string& what) {
  return OpenSslError(absl::StatusCode::kInternal, what);
}

absl::Status OpenSslError(absl::StatusCode code, const std::string& what) {
  std::string message = what;
  char buffer[256];
  while (const unsigned long error = ERR_get_error()) {
    ERR_error_string_n(error, buffer, sizeof buffer);
    absl::StrAppend(&message, "; ", buffer);
  }
  return absl::Status(code, message);
}

}  // namespace phonepki::ca
