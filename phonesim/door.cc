#include "phonesim/door.h"

namespace phonesim {

Door::Door(asio::io_context& io, const std::string& address, int port, double octets_per_second,
           Handler handler)
    : io_(io),
      endpoint_(asio::ip::make_address(address), static_cast<unsigned short>(port)),
      octets_per_second_(octets_per_second),
      handler_(std::move(handler)),
      acceptor_(io) {}

void Door::Open() {
  Close();  // what a failed attempt may have left
  acceptor_.open(endpoint_.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint_);
  acceptor_.listen(16);
  ++openings_;
  asio::co_spawn(io_, Accept(), asio::detached);
}

void Door::Close() {
  Error ignored;
  acceptor_.close(ignored);
  for (const auto& connection : connections_) {
    if (const Connection open = connection.lock()) open->Close();
  }
  connections_.clear();
}

awaitable<void> Door::Accept() {
  for (const int opening = openings_; opening == openings_ && acceptor_.is_open();) {
    Error error;
    tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors: some will come back
      co_await Sleep(0.05);
      continue;
    }
    auto connection = std::make_shared<PacedSocket>(std::move(socket), octets_per_second_);
    std::erase_if(connections_, [](const auto& former) { return former.expired(); });
    connections_.push_back(connection);
    asio::co_spawn(io_, handler_(connection), asio::detached);
  }
}

}  // namespace phonesim
