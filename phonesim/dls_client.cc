#include "phonesim/dls_client.h"

#include <cstdlib>

namespace phonesim {
namespace {

constexpr std::size_t kMostOctets = 1 << 20;

[[noreturn]] void Fail(asio::error::basic_errors error) {
  throw boost::system::system_error(error);
}

}  // namespace

DlsClient::DlsClient(World& world, Traits traits, std::function<bool(const char*)> drops)
    : world_(world), traits_(std::move(traits)), drops_(std::move(drops)) {}

void DlsClient::Disconnect() {
  if (!connection_) return;
  connection_->next_layer().Close();
  connection_.reset();
}

awaitable<void> DlsClient::Connect() {
  const auto& servers = world_.options.dls;
  const std::size_t choice = world_.options.dls_choice == "per-phone"     ? traits_.number % servers.size()
                             : world_.options.dls_choice == "per-message" ? messages_ % servers.size()
                                                                          : 0;
  const std::string address = route_.address.empty() ? servers[choice].first : route_.address;
  const auto port = static_cast<unsigned short>(route_.port > 0 ? route_.port : servers[choice].second);
  const auto mutual_tls = route_.mutual_tls;
  asio::ssl::context& unverified = traits_.cp ? world_.tls12 : world_.any_tls;
  // Held here, too: Disconnect() may come at any time.
  const auto connection = std::make_shared<Tls>(
      PacedSocket(tcp::socket(world_.io), traits_.octets_per_second), mutual_tls ? *mutual_tls : unverified);
  connection_ = connection;
  tcp::socket& socket = connection->next_layer().socket();
  const tcp::endpoint own(asio::ip::make_address(traits_.ip), 0);
  socket.open(own.protocol());
  socket.set_option(tcp::socket::reuse_address(true));
  socket.bind(own);
  co_await socket.async_connect({asio::ip::make_address(address), port}, use_awaitable);
  socket.set_option(tcp::no_delay(true));
  SSL* ssl = connection->native_handle();
  if (mutual_tls && world_.options.check_server_name) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address.c_str());
  }
  Error error;
  co_await connection->async_handshake(asio::ssl::stream_base::client,
                                       asio::redirect_error(use_awaitable, error));
  if (!error) co_return;
  const long verified = SSL_get_verify_result(ssl);
  if (!mutual_tls || verified == X509_V_OK) throw boost::system::system_error(error);
  throw boost::system::system_error(error, X509_verify_cert_error_string(verified));
}

std::string DlsClient::ForeignCookie() const {
  for (const bool from_start : {false, true}) {
    const auto other = from_start ? world_.cookies.begin() : world_.cookies.upper_bound(traits_.ip);
    if (other != world_.cookies.end() && other->first != traits_.ip) return other->second;
  }
  return "JSESSIONID=0123456789ABCDEF0123456789ABCDEF";
}

awaitable<std::string> DlsClient::Post(std::string body, bool with_foreign_cookie) {
  const bool each = world_.options.dls_choice == "per-message" || traits_.cp;
  if (!connection_ || each) co_await Connect();
  const auto connection = connection_;
  if (!connection) Fail(asio::error::connection_aborted);
  ++messages_;
  std::string request =
      "POST " + world_.options.path + " HTTP/1.1\r\nHost: dls\r\nContent-Type: text/xml\r\n";
  const std::string sent_cookie = with_foreign_cookie ? ForeignCookie() : cookie_;
  if (!sent_cookie.empty()) request += "Cookie: " + sent_cookie + "\r\n";
  if (each) request += "Connection: close\r\n";
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (drops_("before")) Fail(asio::error::connection_aborted);
  co_await asio::async_write(*connection, asio::buffer(request), use_awaitable);
  if (drops_("after")) Fail(asio::error::connection_aborted);
  std::string answer;
  const std::size_t head_size = co_await asio::async_read_until(
      *connection, asio::dynamic_buffer(answer, kMostOctets), "\r\n\r\n", use_awaitable);
  const std::string head = answer.substr(0, head_size);
  // Firmware up to V2R2 cannot read it (wpi.md 1.2), so no phone here does.
  if (HeaderOf(head, "Transfer-Encoding") == "chunked")
    throw boost::system::system_error(asio::error::no_protocol_option);
  const std::size_t size = head_size + std::strtoul(HeaderOf(head, "Content-Length").c_str(), nullptr, 10);
  if (answer.size() < size) {
    co_await asio::async_read(*connection, asio::dynamic_buffer(answer, kMostOctets),
                              asio::transfer_exactly(size - answer.size()), use_awaitable);
  }
  if (const std::string cookie = HeaderOf(head, "Set-Cookie"); !cookie.empty()) {
    cookie_ = traits_.cp ? cookie : cookie.substr(0, cookie.find(';'));
    world_.cookies[traits_.ip] = cookie_;
  }
  if ((each || HeaderOf(head, "Connection") == "close") && connection == connection_) connection_.reset();
  if (head.compare(0, 12, "HTTP/1.1 200") != 0) Fail(asio::error::connection_refused);
  co_return answer.substr(head_size, size - head_size);
}

}  // namespace phonesim
