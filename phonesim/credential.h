// The certificate that a phone's web server presents.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace phonesim {

struct Credential {
  std::shared_ptr<boost::asio::ssl::context> tls;
  std::string serial;  // lower-case hexadecimal
  std::string sha256;
  std::string subject, issuer, not_before, not_after;
  std::string certificate_pem, key_pem;  // for --state-dir
};

// The one every phone ships with.
Credential MakeFactoryDefault();
// DER PKCS#12. Nothing when it cannot be opened or holds no key.
std::optional<Credential> OpenPkcs12(const std::string& der, const std::string& passphrase);
std::optional<Credential> FromPem(const std::string& certificate_pem, const std::string& key_pem);
std::string DecodeBase64(const std::string& text);

}  // namespace phonesim
