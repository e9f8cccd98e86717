// Takes the containers of a certificate file apart: PKCS#12, PKCS#7, PEM, DER. What is in them is judged by
// ReadCertificateFile().
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"

namespace phonepki::ca {

struct FileContents {
  std::vector<base::Secret> keys;         // PKCS#8, PKCS#1 or SEC 1, not encrypted
  std::vector<base::Bytes> certificates;  // each decodes; one may be there several times
  std::set<std::string> formats;          // "pkcs12", "pem", "pkcs7", "der"
  std::set<std::string> labels;           // of PEM blocks that are of no use here
};

// Errors as of ReadCertificateFile().
absl::StatusOr<FileContents> OpenCertificateFile(std::string_view content, const base::Secret& passphrase);

}  // namespace phonepki::ca
