// DCMP (wpi.md 9): a phone behind NAT asks over plain HTTP whether its server wants a call.
#include "phonesim/phone.h"

#include <cstdlib>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

constexpr int kOk = 200;
constexpr double kAnswerSeconds = 10;

}  // namespace

awaitable<void> Phone::Poll() {
  auto self = shared_from_this();
  const int life = life_;
  // Not all of a fleet in the same moment.
  co_await Sleep(world_.options.poll_seconds * std::uniform_real_distribution<>(0, 1)(random_));
  while (life == life_) {
    const bool wanted = co_await AskForContact();
    if (life != life_) co_return;
    if (wanted && std::exchange(busy_once_, false)) StartCall(world_.options.busy_seconds);
    if (wanted) co_await Solicited();
    if (life != life_) co_return;
    co_await Sleep(world_.options.poll_seconds);
  }
}

awaitable<bool> Phone::AskForContact() {
  const int life = life_;
  const auto& server = world_.options.dls.front().first;
  const auto socket = std::make_shared<tcp::socket>(world_.io);
  polling_ = socket;
  // A server that never answers must not silence the phone for good.
  asio::steady_timer limit(world_.io, Millis(kAnswerSeconds));
  limit.async_wait([socket](Error error) {
    if (!error) socket->close(error);
  });
  int status = 0;
  std::string problem;
  try {
    const tcp::endpoint own(asio::ip::make_address(ip_), 0);
    socket->open(own.protocol());
    socket->set_option(tcp::socket::reuse_address(true));
    socket->bind(own);
    co_await socket->async_connect(
        {asio::ip::make_address(server), static_cast<unsigned short>(world_.options.poll_port)},
        use_awaitable);
    const std::string request = "GET /dcmp/contact-me?device-id=" + mac_ +
                                " HTTP/1.1\r\nHost: " + InUri(server) + "\r\nConnection: close\r\n\r\n";
    co_await asio::async_write(*socket, asio::buffer(request), use_awaitable);
    std::string answer;
    co_await asio::async_read_until(*socket, asio::dynamic_buffer(answer, 8192), "\r\n\r\n", use_awaitable);
    const auto blank = answer.find(' ');
    if (answer.rfind("HTTP/1.", 0) == 0 && blank < answer.size()) status = std::atoi(answer.c_str() + blank);
  } catch (const boost::system::system_error& error) {
    problem = error.code().message();
  }
  limit.cancel();
  if (life != life_) co_return false;
  const bool wanted = status == world_.options.poll_call_status;
  if (wanted) {
    Record("poll_hit");
  } else if (status != kOk && status != 202) {
    Record("poll_failed", {{"status", status}, {"error", problem}});
  }
  co_return wanted;
}

}  // namespace phonesim
