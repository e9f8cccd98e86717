// Orders to single phones of a running fleet, over a Unix socket: one JSON line each way (docs/phonesim.md).
#pragma once

#include "phonesim/net.h"

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "phonesim/phone.h"

namespace phonesim {

class ControlDoor {
 public:
  ControlDoor(asio::io_context& io, const std::vector<std::shared_ptr<Phone>>& phones)
      : io_(io), phones_(phones), acceptor_(io) {}
  ~ControlDoor();
  // Throws boost::system::system_error when the path cannot be used. A socket that nobody serves is replaced.
  void Open(const std::string& path);

 private:
  using Socket = asio::local::stream_protocol::socket;

  awaitable<void> Accept();
  awaitable<void> Serve(std::shared_ptr<Socket> socket);
  nlohmann::ordered_json Answer(const std::string& line);
  // By address or MAC address, or all.
  std::vector<Phone*> Find(const std::string& name) const;
  nlohmann::ordered_json Summary() const;

  asio::io_context& io_;
  const std::vector<std::shared_ptr<Phone>>& phones_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::string path_;
};

// The client's side: prints the answer. 0 when the order was carried out, 1 when it was refused, 2 when no
// fleet listens there.
int RunControl(const std::string& path, const std::string& command, const std::string& phone,
               const std::string& value);

}  // namespace phonesim
