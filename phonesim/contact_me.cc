#include "phonesim/phone.h"

#include <cstdlib>

namespace phonesim {

awaitable<void> Phone::AnswerContactMe(Door::Connection connection) {
  auto self = shared_from_this();
  std::string request;
  Error error;
  const std::size_t head =
      co_await asio::async_read_until(*connection, asio::dynamic_buffer(request, 8192), "\r\n\r\n",
                                      asio::redirect_error(use_awaitable, error));
  if (error) co_return;
  const std::size_t size = head + std::strtoul(HeaderOf(request, "Content-Length").c_str(), nullptr, 10);
  if (request.size() < size) {
    co_await asio::async_read(*connection, asio::dynamic_buffer(request, 16384),
                              asio::transfer_exactly(size - request.size()),
                              asio::redirect_error(use_awaitable, error));
  }
  if (error) co_return;
  const auto now = steady_clock::now();
  if (now - last_contact_ < Millis(world_.options.crash_interval_seconds)) Record("crash");
  last_contact_ = now;
  const std::string answer =
      "HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\nContent-type: text/html\r\n\r\n";
  const int life = life_;
  co_await asio::async_write(*connection, asio::buffer(answer), asio::redirect_error(use_awaitable, error));
  connection.reset();
  if (life != life_) co_return;
  if (request.find("ContactMe=true") == std::string::npos) co_return;
  if (now - last_callback_ < Millis(world_.options.contact_gap_seconds) &&
      last_callback_ != steady_clock::time_point{}) {
    Record("contact_me_ignored");
    co_return;
  }
  last_callback_ = now;
  Record("contact_me");
  if (std::exchange(busy_once_, false)) StartCall(world_.options.busy_seconds);
  co_await Solicited();
}

}  // namespace phonesim
