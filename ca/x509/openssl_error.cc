#include "ca/x509/openssl_error.h"

#include <openssl/err.h>

#include <absl/strings/str_cat.h>

namespace phonepki::ca {

absl::Status OpenSslError(const std::string& doing) {
  std::string text = absl::StrCat("OpenSSL failed while ", doing);
  char line[256];
  while (const unsigned long code = ERR_get_error()) {
    ERR_error_string_n(code, line, sizeof line);
    absl::StrAppend(&text, "; ", line);
  }
  return absl::InternalError(text);
}

}  // namespace phonepki::ca
