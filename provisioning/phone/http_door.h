// A door: accepts TCP or TLS connections by the thousands on the threads of an IoRuntime, reads HTTP/1.x
// requests within hard limits of size and time, and hands each complete request to a pool of plain threads.
// Answers carry Content-Length and are never chunked (wpi.md 1.2).
//
// Whatever exceeds a limit is answered with an HTTP error or simply closed, and counted; nothing of it is
// logged but the address and the kind. A client that is refused for its certificate gets the TLS alert that
// says so and is counted under handshake_failed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/thread_pool.h"
#include "provisioning/phone/io_runtime.h"

namespace phonepki::provisioning::phone {

struct HttpRequest {
  std::string method;
  std::string target;
  std::string cookie;  // the Cookie header as sent
  std::string body;
  std::string remote_address;  // textual IP, v4-mapped addresses as v4
  // DER of the client's own certificate, verified, and its key proven; empty at a door that asks for none.
  base::Bytes client_certificate = {};
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/xml; charset=UTF-8";
  base::Secret body;
  std::string set_cookie;  // empty: none
  bool close = false;
};

// Blocking; runs on the pool, several at a time.
using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;

struct TlsIdentity {
  std::string chain_pem;
  base::Secret key_pem;
  bool legacy = false;  // TLS 1.0 and weak ciphers, for old firmware only
  // DER of the CAs whose certificates clients may present. Not empty: a client must present one that is valid
  // now, fit for TLS clients and issued under one of these, root or intermediate; each connection is verified
  // anew, sessions are not resumed. Revocation, and whose certificate it is, are the handler's business.
  std::vector<base::Bytes> client_authorities = {};
};

// A client whose certificate, or the lack of one, ended the handshake.
struct RefusedClient {
  std::string address;  // textual IP, as in HttpRequest
  // CLIENT_CERTIFICATE_MISSING, CLIENT_CERTIFICATE_UNKNOWN_CA, CLIENT_CERTIFICATE_EXPIRED, CLIENT_CA_EXPIRED,
  // CLIENT_CERTIFICATE_NOT_YET_VALID, CLIENT_CERTIFICATE_PURPOSE (not for TLS clients),
  // CLIENT_CERTIFICATE_WEAK (key or digest), CLIENT_CERTIFICATE_INVALID (anything else),
  // CLIENT_KEY_NOT_PROVEN (presents a good certificate without having its key).
  std::string reason;
  // DER as presented; empty for _MISSING and CLIENT_KEY_NOT_PROVEN. Nothing proves that it is the client's
  // own.
  base::Bytes certificate;
};

struct DoorOptions {
  std::string name;  // for logs
  std::string address = "0.0.0.0";
  int port = 0;      // 0: any; ask port()
  std::string path;  // only this path, POST only; empty: any, GET and POST
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration request_timeout = absl::Seconds(30);  // from the first octet to the last
  absl::Duration idle_timeout = absl::Seconds(45);
  absl::Duration write_timeout = absl::Seconds(30);
  std::size_t max_body = 1 << 20;
  std::size_t max_header = 8 << 10;
  int max_connections = 20000;
  int max_connections_per_address = 64;  // 0: no limit
  int max_requests_per_connection = 1000;
  // At doors with client authorities. Runs on the handlers' pool; under a flood of refusals, or with the pool
  // full, some are only logged and counted. May be empty.
  std::function<void(const RefusedClient&)> on_refused = {};
};

struct DoorCounters {
  std::atomic<std::int64_t> accepted{0}, open{0}, refused{0}, handshake_failed{0}, requests{0},
      bad_requests{0}, timed_out{0};
};

class HttpDoor {
 public:
  // `tls` null: plain HTTP. kInvalidArgument: certificate, key or an authority unusable;
  // kFailedPrecondition ADDRESS_IN_USE.
  static absl::StatusOr<std::unique_ptr<HttpDoor>> Open(IoRuntime& io, DoorOptions options,
                                                        const TlsIdentity* tls, base::ThreadPool& pool,
                                                        HttpHandler handler);
  // Connections accepted from now on use `tls`; open ones keep what they began with, until they end.
  // kInvalidArgument: certificate, key or an authority unusable, nothing has changed; kFailedPrecondition: a
  // plain door. Thread-safe.
  absl::Status SetTls(const TlsIdentity& tls);

  // Stops accepting, lets requests that are being handled finish (up to `limit`), closes everything.
  void Close(absl::Duration limit);
  ~HttpDoor();

  int port() const;
  const DoorCounters& counters() const;

  struct Core;  // shared with the connections

 private:
  explicit HttpDoor(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  std::shared_ptr<Core> core_;
};

}  // namespace phonepki::provisioning::phone
