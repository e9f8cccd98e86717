#include "phonesim/phone.h"

#include <algorithm>
#include <cstdlib>

namespace phonesim {
namespace {

// Of a form, in the body or in the request line.
std::string FormValue(const std::string& request, const std::string& name) {
  const auto found = request.find(name + "=");
  if (found == std::string::npos) return "";
  const auto begin = found + name.size() + 1;
  return request.substr(begin, request.find_first_of("& \r\n", begin) - begin);
}

}  // namespace

bool Phone::TakeCallAddress(const std::string& request) {
  const std::string address = FormValue(request, "dls_ip_addr");
  call_back_to_ = {};
  if (address.empty()) return true;
  Error error;
  asio::ip::make_address(address, error);
  if (error) return false;
  const auto& servers = world_.options.dls;
  const bool known = (secure() && security_.access->address == address) ||
                     std::any_of(servers.begin(), servers.end(),
                                 [&address](const auto& server) { return server.first == address; });
  // Whoever reaches the port could send a phone anywhere; in secure mode it only calls its own server.
  if (secure() && !known) return false;
  call_back_to_.address = address;
  call_back_to_.port = std::atoi(FormValue(request, "dls_ip_port").c_str());
  return true;
}

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
  if (!TakeCallAddress(request)) {
    Record("contact_me_ignored", {{"reason", "foreign address"}});
    co_return;
  }
  last_callback_ = now;
  Record("contact_me");
  if (std::exchange(busy_once_, false)) StartCall(world_.options.busy_seconds);
  co_await Solicited();
}

}  // namespace phonesim
