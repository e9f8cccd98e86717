#include "phonesim/phone.h"

namespace phonesim {

awaitable<void> Phone::AnswerWeb(Door::Connection connection) {
  auto self = shared_from_this();
  const auto tls = credential_.tls;  // a certificate written meanwhile must not pull it away
  asio::ssl::stream<PacedSocket&> stream(*connection, *tls);
  Error error;
  co_await stream.async_handshake(asio::ssl::stream_base::server, asio::redirect_error(use_awaitable, error));
  if (error) co_return;
  std::string request;
  co_await asio::async_read_until(stream, asio::dynamic_buffer(request, 8192), "\r\n\r\n",
                                  asio::redirect_error(use_awaitable, error));
  if (error) co_return;
  const std::string page = "<html><body>Phone " + mac_ + "</body></html>\n";
  const std::string answer =
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: " +
      std::to_string(page.size()) + "\r\n\r\n" + page;
  co_await asio::async_write(stream, asio::buffer(answer), asio::redirect_error(use_awaitable, error));
}

}  // namespace phonesim
