// A phone's HTTP client towards the deployment service: one TLS connection, one cookie.
#pragma once

#include "phonesim/net.h"

#include <functional>
#include <memory>
#include <string>

#include "phonesim/paced_socket.h"
#include "phonesim/world.h"

namespace phonesim {

class DlsClient {
 public:
  struct Traits {
    std::string ip;
    int number = 0;
    // CP firmware: TLS 1.2, a connection per message, cookies sent back with their attributes.
    bool cp = false;
    double octets_per_second = 0;  // 0: no limit
  };
  // Where to and how, as far as it differs from the fleet's servers on their port, unverified.
  struct Route {
    std::string address;
    int port = 0;
    // With the phone's client certificate and the CAs that must have signed the server's.
    std::shared_ptr<asio::ssl::context> mutual_tls;
  };
  // `drops` decides whether the connection breaks at the named moment.
  DlsClient(World& world, Traits traits, std::function<bool(const char* when)> drops);

  // Throws boost::system::system_error when the server cannot be reached or drops the connection.
  awaitable<std::string> Post(std::string body, bool with_foreign_cookie);
  void Disconnect();
  // From the next connection on.
  void Take(Route route) { route_ = std::move(route); }
  void ForgetCookie() { cookie_.clear(); }

 private:
  using Tls = asio::ssl::stream<PacedSocket>;

  awaitable<void> Connect();
  // Another phone's, or when there is none a made-up one.
  std::string ForeignCookie() const;

  World& world_;
  const Traits traits_;
  const std::function<bool(const char*)> drops_;
  Route route_;
  std::shared_ptr<Tls> connection_;
  std::string cookie_;
  int messages_ = 0;
};

}  // namespace phonesim
