// Files that administrators bring along: a certificate with its key for one phone, or the certificates of
// CAs. What is in a file is found by looking, never by its name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "ca/x509/key.h"

namespace phonepki::ca {

inline constexpr std::size_t kMaxCertificateFileSize = 1 << 20;
inline constexpr std::size_t kMaxFileCertificates = 200;

// No certificate is in two of the places, or twice in one.
struct CertificateFile {
  std::optional<PrivateKey> key;
  // The certificate of `key`; of several, the one that became valid last. In a file without a key: its only
  // certificate that is not of a CA.
  std::optional<base::Bytes> leaf;
  std::vector<base::Bytes> chain;   // above `leaf`, nearest first, the root included if it is in the file
  std::vector<base::Bytes> others;  // in the order of the file
  std::string format;               // "pkcs12", "pem", "pkcs7", "der"
};

// Reads PKCS#12, PEM (certificates, PKCS#7 and PKCS#12 blocks, keys in every usual form, among any other
// text), PKCS#7 with certificates only, and DER certificates, one or several. An empty `passphrase` means
// none was given; one that is not needed is ignored. Nothing is said about trust or validity.
//
// kInvalidArgument on field "file": NOT_A_CERTIFICATE_FILE, CERTIFICATE_MALFORMED, FILE_TOO_LARGE,
// TOO_MANY_CERTIFICATES, KEY_WITHOUT_CERTIFICATE (no certificate in the file is of the key), SEVERAL_KEYS,
// KEY_MALFORMED, KEY_UNSUPPORTED; on field "passphrase": PASSPHRASE_NEEDED, WRONG_PASSPHRASE,
// PASSPHRASE_INVALID (not UTF-8, or holds a NUL).
absl::StatusOr<CertificateFile> ReadCertificateFile(std::string_view content, const base::Secret& passphrase);

// What is in the file for a slot that holds CA certificates: its certificates, each once; a key in it plays
// no part. kInvalidArgument on field "file": NOT_A_CA_CERTIFICATE, naming the certificate that may not sign
// others.
absl::StatusOr<std::vector<base::Bytes>> CaCertificatesOf(const CertificateFile& file);

}  // namespace phonepki::ca
