// A listening port of a phone and the connections that came in through it.
#pragma once

#include "phonesim/net.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "phonesim/paced_socket.h"

namespace phonesim {

class Door {
 public:
  using Connection = std::shared_ptr<PacedSocket>;
  // Called for each connection; the coroutine owns it from then on.
  using Handler = std::function<awaitable<void>(Connection)>;

  // Octets per second of each connection; 0: no limit.
  Door(asio::io_context& io, const std::string& address, int port, double octets_per_second, Handler handler);
  // Throws boost::system::system_error when the port is taken.
  void Open();
  // Drops the connections, too.
  void Close();

 private:
  awaitable<void> Accept();

  asio::io_context& io_;
  const tcp::endpoint endpoint_;
  const double octets_per_second_;
  const Handler handler_;
  tcp::acceptor acceptor_;
  int openings_ = 0;
  std::vector<std::weak_ptr<PacedSocket>> connections_;
};

}  // namespace phonesim
