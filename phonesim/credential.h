// Certificates and keys that a phone is given.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace boost::asio::ssl {
class context;
}

namespace phonesim {

struct CertificateFacts {
  std::string serial;  // lower-case hexadecimal
  std::string sha256;
  std::string subject, issuer, not_before, not_after;
};

struct Credential : CertificateFacts {
  std::shared_ptr<boost::asio::ssl::context> tls;  // of a server that presents it
  std::string certificate_pem, key_pem;
};

// The one every phone ships with.
Credential MakeFactoryDefault();
// DER PKCS#12. Nothing when it cannot be opened or holds no key.
std::optional<Credential> OpenPkcs12(const std::string& der, const std::string& passphrase);
std::optional<Credential> FromPem(const std::string& certificate_pem, const std::string& key_pem);
// PKCS#12 in Base64, or key and certificates in PEM.
std::optional<Credential> OpenEither(const std::string& text, const std::string& passphrase);
// Every certificate in a PEM text; empty when one cannot be read.
std::vector<CertificateFacts> ReadCertificates(const std::string& pem);
// What an -info item says about it.
std::string InfoText(const CertificateFacts& certificate);
std::string DecodeBase64(const std::string& text);

}  // namespace phonesim
