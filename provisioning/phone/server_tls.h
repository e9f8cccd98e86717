// Internal: what a door asks of OpenSSL beside reading and writing: its context, and who the client is.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <optional>
#include <string>

#include <absl/status/statusor.h>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>

#include "base/bytes.h"
#include "provisioning/phone/http_door.h"

namespace phonepki::provisioning::phone {

// kInvalidArgument: certificate, key or one of the client authorities unusable.
absl::StatusOr<std::shared_ptr<boost::asio::ssl::context>> MakeServerTls(const TlsIdentity& identity);

// What the verification of a client's certificate stumbled over. Must stay where it is while a handshake that
// it watches is under way.
struct ClientCheck {
  int error = X509_V_OK;
  int depth = 0;            // 0: the client's own certificate
  base::Bytes certificate;  // DER of the client's own, once it has failed

  void Watch(SSL* ssl);
};

// Why a client is refused: `reason` is one of http_door.h's RefusedClient, `detail` OpenSSL's words.
struct Refusal {
  std::string reason;
  std::string detail;
};

// Of a handshake that ended with `error`, none included. Nothing: no failure, or one that is not about the
// client's certificate. A door that asks for certificates never lets a handshake pass that proved none.
std::optional<Refusal> RefusalOf(const SSL* ssl, const ClientCheck& check,
                                 const boost::system::error_code& error);

// DER; empty when the door does not ask for one.
base::Bytes ClientCertificate(const SSL* ssl);

}  // namespace phonepki::provisioning::phone
