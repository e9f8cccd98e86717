#include "phonesim/fleet.h"

#include <utility>

#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <nlohmann/json.hpp>

#include "phonesim/credential.h"
#include "phonesim/ledger.h"
#include "phonesim/wpi.h"

namespace phonesim {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using Tls = asio::ssl::stream<tcp::socket>;
using Error = boost::system::error_code;
using std::chrono::steady_clock;

struct Fleet;

std::chrono::milliseconds Millis(double seconds) {
  return std::chrono::milliseconds(static_cast<int>(seconds * 1000));
}

// Waits; wakes early never.
awaitable<void> Sleep(double seconds) {
  asio::steady_timer timer(co_await asio::this_coro::executor, Millis(seconds));
  Error error;
  co_await timer.async_wait(asio::redirect_error(use_awaitable, error));
}

std::string HeaderOf(const std::string& head, const std::string& name) {
  std::istringstream lines(head);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.size() > name.size() && line[name.size()] == ':' &&
        std::equal(name.begin(), name.end(), line.begin(),
                   [](char a, char b) { return std::tolower(a) == std::tolower(b); })) {
      std::string value = line.substr(name.size() + 1);
      while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) value.pop_back();
      return value.substr(std::min(value.find_first_not_of(' '), value.size()));
    }
  }
  return "";
}

class Phone : public std::enable_shared_from_this<Phone> {
 public:
  Phone(Fleet& fleet, int number);

  void Listen();
  // Boot: start-up until the server has been reached once.
  awaitable<void> Boot();

 private:
  enum class Profile { kV3R3, kV2R2, kCp };

  awaitable<void> ServeContactMe();
  awaitable<void> AnswerContactMe(tcp::socket socket);
  awaitable<void> ServeWeb();
  awaitable<void> AnswerWeb(tcp::socket socket);
  awaitable<void> Solicited();
  // True when the server closed the session properly.
  awaitable<bool> Session(std::string reason);
  awaitable<std::string> Post(const std::string& body);
  awaitable<void> Connect();
  Outgoing Initial(const std::string& reason);
  // The reply to an action; false in `goes_on` for actions without a reply.
  Outgoing Act(const Incoming& message, bool* goes_on);
  Outgoing Write(const Incoming& message);
  Outgoing Read(const Incoming& message);
  Outgoing NextFragment(const std::string& action);
  void Activate(Credential credential);
  void LoadState();
  std::string NewNonce();
  bool Chance(double share) { return share > 0 && std::uniform_real_distribution<>(0, 1)(random_) < share; }
  void Record(const std::string& event, const nlohmann::ordered_json& more = {});

  Fleet& fleet_;
  const int number_;
  const std::string ip_, mac_, e164_;
  std::mt19937_64 random_;
  Profile profile_;
  bool busy_once_, rejects_, offline_;
  tcp::acceptor contact_, web_;
  Credential credential_;
  std::optional<Credential> after_restart_;

  std::unique_ptr<Tls> connection_;
  std::string cookie_, nonce_;
  bool in_session_ = false, solicited_again_ = false, in_call_ = false, call_back_ = false;
  steady_clock::time_point last_callback_{}, last_contact_{}, call_end_{};
  std::deque<Item> fragments_;
  int messages_ = 0;
};

struct Fleet {
  explicit Fleet(const Options& given)
      : options(given),
        ledger(given.ledger),
        factory(MakeFactoryDefault()),
        plain(asio::ssl::context::tls_client),
        tls12(asio::ssl::context::tls_client) {
    for (auto* context : {&plain, &tls12}) {
      context->set_verify_mode(asio::ssl::verify_none);
      SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
    }
    SSL_CTX_set_max_proto_version(tls12.native_handle(), TLS1_2_VERSION);
  }
  const Options options;
  Ledger ledger;
  asio::io_context io{1};
  Credential factory;
  asio::ssl::context plain, tls12;
  std::vector<std::shared_ptr<Phone>> phones;
  int booting = 0;
};

Phone::Phone(Fleet& fleet, int number)
    : fleet_(fleet),
      number_(number),
      ip_(AddressOf(fleet.options.first_address, number)),
      mac_(MacOf(fleet.options.first_mac, number)),
      e164_(std::to_string(fleet.options.e164_base + number)),
      random_(fleet.options.seed * 1000003 + number),
      contact_(fleet.io),
      web_(fleet.io),
      credential_(fleet.factory) {
  const std::string& wanted = fleet.options.profile;
  const int kind = wanted == "mix" ? number % 3 : wanted == "v3r3" ? 0 : wanted == "v2r2" ? 1 : 2;
  profile_ = kind == 0 ? Profile::kV3R3 : kind == 1 ? Profile::kV2R2 : Profile::kCp;
  busy_once_ = Chance(fleet.options.busy_share);
  rejects_ = Chance(fleet.options.reject_share);
  offline_ = Chance(fleet.options.offline_share);
  LoadState();
}

void Phone::Record(const std::string& event, const nlohmann::ordered_json& more) {
  fleet_.ledger.Record(mac_, ip_, event, more);
}

void Phone::Listen() {
  const auto address = asio::ip::make_address(ip_);
  for (auto [acceptor, port] :
       {std::pair(&contact_, fleet_.options.contact_port), std::pair(&web_, fleet_.options.web_port)}) {
    const tcp::endpoint endpoint(address, static_cast<unsigned short>(port));
    acceptor->open(endpoint.protocol());
    acceptor->set_option(tcp::acceptor::reuse_address(true));
    acceptor->bind(endpoint);
    acceptor->listen(16);
  }
  asio::co_spawn(fleet_.io, ServeContactMe(), asio::detached);
  asio::co_spawn(fleet_.io, ServeWeb(), asio::detached);
}

awaitable<void> Phone::Boot() {
  auto self = shared_from_this();
  if (offline_) {
    Record("offline");
    contact_.close();
    co_await Sleep(fleet_.options.offline_seconds);
    const tcp::endpoint endpoint(asio::ip::make_address(ip_),
                                 static_cast<unsigned short>(fleet_.options.contact_port));
    contact_.open(endpoint.protocol());
    contact_.set_option(tcp::acceptor::reuse_address(true));
    contact_.bind(endpoint);
    contact_.listen(16);
    asio::co_spawn(fleet_.io, ServeContactMe(), asio::detached);
  }
  Record("boot");
  double wait = fleet_.options.retry_seconds;
  for (;;) {
    while (fleet_.booting >= fleet_.options.startup_concurrency) co_await Sleep(0.02);
    ++fleet_.booting;
    const bool done = co_await Session("start-up");
    --fleet_.booting;
    if (done) co_return;
    co_await Sleep(wait);
    wait = std::min(wait * 1.5, 30.0);
  }
}

awaitable<void> Phone::ServeContactMe() {
  auto self = shared_from_this();
  for (;;) {
    Error error;
    tcp::socket socket = co_await contact_.async_accept(asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    asio::co_spawn(fleet_.io, AnswerContactMe(std::move(socket)), asio::detached);
  }
}

awaitable<void> Phone::AnswerContactMe(tcp::socket socket) {
  auto self = shared_from_this();
  std::string request;
  Error error;
  const std::size_t head = co_await asio::async_read_until(
      socket, asio::dynamic_buffer(request, 8192), "\r\n\r\n", asio::redirect_error(use_awaitable, error));
  if (error) co_return;
  const std::size_t length = std::strtoul(HeaderOf(request, "Content-Length").c_str(), nullptr, 10);
  if (request.size() < head + length) {
    co_await asio::async_read(socket, asio::dynamic_buffer(request, 16384),
                              asio::transfer_exactly(head + length - request.size()),
                              asio::redirect_error(use_awaitable, error));
  }
  const auto now = steady_clock::now();
  if (now - last_contact_ < Millis(fleet_.options.crash_interval_seconds)) Record("crash");
  last_contact_ = now;
  const std::string answer =
      "HTTP/1.1 204 No Content\r\nServer: DlsClient\r\nContent-Length: 0\r\nContent-type: text/html\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(answer), asio::redirect_error(use_awaitable, error));
  if (request.find("ContactMe=true") == std::string::npos) co_return;
  if (now - last_callback_ < Millis(fleet_.options.contact_gap_seconds) &&
      last_callback_ != steady_clock::time_point{}) {
    Record("contact_me_ignored");
    co_return;
  }
  last_callback_ = now;
  Record("contact_me");
  if (busy_once_ && !in_call_) {
    busy_once_ = false;
    in_call_ = true;
    call_end_ = now + Millis(fleet_.options.busy_seconds);
    Record("call_start");
  }
  co_await Solicited();
}

awaitable<void> Phone::Solicited() {
  auto self = shared_from_this();
  if (in_session_) {
    solicited_again_ = true;
    co_return;
  }
  do {
    solicited_again_ = false;
    co_await Session("solicited");
  } while (solicited_again_);
  if (!in_call_) co_return;
  const auto left = call_end_ - steady_clock::now();
  co_await Sleep(std::max(0.0, std::chrono::duration<double>(left).count()));
  in_call_ = false;
  Record("call_end");
  if (!std::exchange(call_back_, false)) co_return;
  co_await Session("solicited");
}

awaitable<void> Phone::ServeWeb() {
  auto self = shared_from_this();
  for (;;) {
    Error error;
    tcp::socket socket = co_await web_.async_accept(asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    asio::co_spawn(fleet_.io, AnswerWeb(std::move(socket)), asio::detached);
  }
}

awaitable<void> Phone::AnswerWeb(tcp::socket socket) {
  auto self = shared_from_this();
  const auto tls = credential_.tls;  // a certificate written meanwhile must not pull it away
  Tls stream(std::move(socket), *tls);
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

std::string Phone::NewNonce() {
  char text[33];
  std::snprintf(text, sizeof text, "%016llX%016llX", static_cast<unsigned long long>(random_()),
                static_cast<unsigned long long>(random_()));
  return text;
}

Outgoing Phone::Initial(const std::string& reason) {
  const bool v2 = profile_ == Profile::kV2R2;
  const std::string type = profile_ == Profile::kCp ? "OpenScape Desk Phone CP410" : "OpenStage 60";
  Outgoing message;
  message.reason = reason;
  message.items = {
      {"device-type", "", type, ""},
      {"related-device-type", "", type, ""},
      {"software-type", "", "Siemens SIP", ""},
      {"software-version", "",
       v2                         ? "V2 R2.30.0"
       : profile_ == Profile::kCp ? "V3 R5.12.0"
                                  : "V3 R5.1.0",
       ""},
      {"contact-me-uri", "",
       "http://" + ip_ + ":" + std::to_string(fleet_.options.contact_port) + "/contact_dls.html/ContactDLS",
       ""},
      {"mac-addr", "", mac_, ""},
      {"configuration-changed-flag", "", "false", ""},
      {"part-number", "", "S30817-S7403-A101-015", ""},
      {"sip-mobility-state", "", "0", ""},
      {"e164", "", e164_, ""},
      {"basic-e164", "", e164_, ""},
      {"user-pwd", "", "123456", ""},
      {"user-pwd-unicode", "", "", "failed"},
      {"mobility-enabled", "", "false", ""}};
  return message;
}

awaitable<void> Phone::Connect() {
  const auto& servers = fleet_.options.dls;
  const std::size_t choice = fleet_.options.dls_choice == "per-phone"     ? number_ % servers.size()
                             : fleet_.options.dls_choice == "per-message" ? messages_ % servers.size()
                                                                          : 0;
  connection_ = std::make_unique<Tls>(fleet_.io, profile_ == Profile::kCp ? fleet_.tls12 : fleet_.plain);
  auto& socket = connection_->next_layer();
  socket.open(tcp::v4());
  socket.set_option(tcp::socket::reuse_address(true));
  socket.bind({asio::ip::make_address(ip_), 0});
  co_await socket.async_connect(
      {asio::ip::make_address(servers[choice].first), static_cast<unsigned short>(servers[choice].second)},
      use_awaitable);
  socket.set_option(tcp::no_delay(true));
  co_await connection_->async_handshake(asio::ssl::stream_base::client, use_awaitable);
}

// Throws boost::system::system_error when the server cannot be reached or drops the connection.
awaitable<std::string> Phone::Post(const std::string& body) {
  const bool each = fleet_.options.dls_choice == "per-message" || profile_ == Profile::kCp;
  if (!connection_ || each) co_await Connect();
  ++messages_;
  std::string request =
      "POST " + fleet_.options.path + " HTTP/1.1\r\nHost: dls\r\nContent-Type: text/xml\r\n";
  if (!cookie_.empty()) request += "Cookie: " + cookie_ + "\r\n";
  if (each) request += "Connection: close\r\n";
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (Chance(fleet_.options.drop_share / 2)) {
    Record("drop", {{"when", "before"}});
    throw boost::system::system_error(asio::error::connection_aborted);
  }
  co_await asio::async_write(*connection_, asio::buffer(request), use_awaitable);
  if (Chance(fleet_.options.drop_share / 2)) {
    Record("drop", {{"when", "after"}});
    throw boost::system::system_error(asio::error::connection_aborted);
  }
  std::string answer;
  const std::size_t head = co_await asio::async_read_until(
      *connection_, asio::dynamic_buffer(answer, 1 << 20), "\r\n\r\n", use_awaitable);
  if (HeaderOf(answer, "Transfer-Encoding") == "chunked")
    throw boost::system::system_error(asio::error::no_protocol_option);
  const std::size_t length =
      std::strtoul(HeaderOf(answer.substr(0, head), "Content-Length").c_str(), nullptr, 10);
  if (answer.size() < head + length) {
    co_await asio::async_read(*connection_, asio::dynamic_buffer(answer, 1 << 20),
                              asio::transfer_exactly(head + length - answer.size()), use_awaitable);
  }
  std::string set_cookie = HeaderOf(answer.substr(0, head), "Set-Cookie");
  if (!set_cookie.empty()) {
    // CP firmware sends the whole text back, attributes and all.
    cookie_ = profile_ == Profile::kCp ? set_cookie : set_cookie.substr(0, set_cookie.find(';'));
  }
  if (each || HeaderOf(answer.substr(0, head), "Connection") == "close") connection_.reset();
  if (answer.compare(0, 12, "HTTP/1.1 200") != 0)
    throw boost::system::system_error(asio::error::connection_refused);
  co_return answer.substr(head, length);
}

awaitable<bool> Phone::Session(std::string reason) {
  auto self = shared_from_this();
  if (in_session_) co_return false;
  in_session_ = true;
  Record("session_open", {{"reason", reason}});
  Outgoing message = Initial(reason);
  // CP firmware sends a stale cookie of an earlier session along.
  if (profile_ != Profile::kCp) cookie_.clear();
  bool done = false;
  int tries = 0;
  while (!done) {
    message.nonce = nonce_ = NewNonce();
    const std::string body = Print(message);
    std::string answer;
    bool sent = false;
    try {
      answer = co_await Post(body);
      sent = true;
    } catch (const boost::system::system_error&) {
      connection_.reset();
    }
    if (!sent) {
      if (++tries > 3) break;
      co_await Sleep(0.1 * tries);
      continue;
    }
    tries = 0;
    const Incoming incoming = Parse(answer);
    if (!incoming.ok || incoming.nonce != nonce_) {
      Record(incoming.ok ? "nonce_mismatch" : "garbage");
      message = {};
      message.reason = "clean-up";
      message.items = {{"cleanup-reason", "", "message not understood", ""}};
      Record("cleanup_sent");
      continue;
    }
    bool goes_on = true;
    message = Act(incoming, &goes_on);
    done = !goes_on;
  }
  connection_.reset();
  in_session_ = false;
  co_return done;
}

Outgoing Phone::Act(const Incoming& message, bool* goes_on) {
  Outgoing reply;
  reply.reason = "reply-to";
  reply.action = message.action;
  reply.status = "accepted";
  if (message.action == "CleanUp") {
    *goes_on = false;
    bool again = false;
    for (const Item& item : message.items) again |= item.name == "send-solicited" && item.value == "true";
    Record("cleanup_received", {{"send_solicited", again}});
    if (again && profile_ != Profile::kV2R2) {
      if (in_call_)
        call_back_ = true;
      else
        solicited_again_ = true;
    }
  } else if (message.action == "Restart") {
    *goes_on = false;
    Record("restart");
    if (after_restart_) Activate(*std::exchange(after_restart_, std::nullopt));
    asio::co_spawn(fleet_.io, Boot(), asio::detached);
  } else if (message.action == "WriteItems") {
    if (in_call_) {
      Record("write_busy");
      reply.status = "busy";
      reply.item_list = false;
      return reply;
    }
    return Write(message);
  } else if (message.action == "ReadItems") {
    return Read(message);
  } else if (message.action == "ReadAllItems") {
    Record("read_all");
    for (const Item& item : Initial("").items) fragments_.push_back(item);
    for (int i = 1; i <= 46; ++i)
      fragments_.push_back({"key-label", std::to_string(i), "Key " + std::to_string(i), ""});
    return NextFragment("ReadAllItems");
  } else if (message.action == "GetNextFragment") {
    return NextFragment("ReadAllItems");
  } else {
    reply.status = "failed";
  }
  return reply;
}

Outgoing Phone::NextFragment(const std::string& action) {
  Outgoing reply;
  reply.reason = "reply-to";
  reply.action = action;
  reply.status = "accepted";
  const bool split = std::uniform_real_distribution<>(0, 1)(random_) < fleet_.options.fragment_share;
  const std::size_t size = split ? fleet_.options.fragment_size : fragments_.size();
  while (!fragments_.empty() && reply.items.size() < size) {
    reply.items.push_back(fragments_.front());
    fragments_.pop_front();
  }
  reply.fragment = fragments_.empty() ? "final" : "next";
  return reply;
}

Outgoing Phone::Write(const Incoming& message) {
  Outgoing reply;
  reply.reason = "reply-to";
  reply.action = "WriteItems";
  reply.status = "accepted";
  for (const Item& item : message.items) {
    if (item.name != "wbm-server-certificate") {
      reply.items.push_back({item.name, item.index, "", "unknown item"});
      continue;
    }
    std::optional<Credential> credential =
        OpenPkcs12(DecodeBase64(item.value), fleet_.options.wbm_passphrase);
    if (!credential || rejects_) {
      Record("write_rejected");
      reply.items.push_back({item.name, "", "", "invalid data"});
      continue;
    }
    Record("write", {{"serial", credential->serial}, {"sha256", credential->sha256}});
    if (fleet_.options.activation == "restart") {
      after_restart_ = std::move(credential);
    } else {
      Activate(std::move(*credential));
    }
  }
  return reply;
}

Outgoing Phone::Read(const Incoming& message) {
  Record("read");
  Outgoing reply;
  reply.reason = "reply-to";
  reply.action = "ReadItems";
  reply.status = "accepted";
  for (const Item& item : message.items) {
    const bool known = item.name == "wbm-server-certificate-info" && fleet_.options.info_format != "failed";
    if (!known) {
      reply.items.push_back({item.name, item.index, "", "failed"});
    } else if (fleet_.options.info_format == "none") {
      reply.items.push_back({item.name, "", "", ""});
    } else {
      reply.items.push_back(
          {item.name, "",
           "Subject: " + credential_.subject + "\nIssuer: " + credential_.issuer +
               "\nSerial: " + credential_.serial + "\nValid from: " + credential_.not_before +
               "\nValid to: " + credential_.not_after + "\nSHA256 Fingerprint: " + credential_.sha256,
           ""});
    }
  }
  return reply;
}

void Phone::Activate(Credential credential) {
  credential_ = std::move(credential);
  Record("activated", {{"serial", credential_.serial},
                       {"sha256", credential_.sha256},
                       {"subject", credential_.subject},
                       {"not_after", credential_.not_after}});
  if (fleet_.options.state_dir.empty()) return;
  const std::string path = fleet_.options.state_dir + "/" + mac_ + ".pem";
  std::ofstream(path + ".new") << credential_.certificate_pem << credential_.key_pem;
  std::rename((path + ".new").c_str(), path.c_str());
}

void Phone::LoadState() {
  if (fleet_.options.state_dir.empty()) return;
  std::ifstream file(fleet_.options.state_dir + "/" + mac_ + ".pem");
  std::stringstream text;
  text << file.rdbuf();
  if (!file.is_open()) return;
  if (std::optional<Credential> kept = FromPem(text.str(), text.str())) credential_ = std::move(*kept);
}

}  // namespace

std::string AddressOf(const std::string& first, int n) {
  const std::uint32_t start = asio::ip::make_address_v4(first).to_uint();
  // Blocks of 254 usable addresses.
  const std::uint32_t offset = (start & 255) - 1 + n;
  return asio::ip::address_v4((start & ~255u) + (offset / 254) * 256 + offset % 254 + 1).to_string();
}

std::string MacOf(const std::string& first, int n) {
  std::string digits;
  for (char c : first) {
    if (c != ':') digits += c;
  }
  char text[13];
  std::snprintf(text, sizeof text, "%012llX", std::strtoull(digits.c_str(), nullptr, 16) + n);
  std::string mac;
  for (int i = 0; i < 12; i += 2) mac += (i == 0 ? "" : ":") + std::string(text + i, 2);
  return mac;
}

int RunFleet(const Options& options) {
  Fleet fleet(options);
  if (!options.state_dir.empty()) mkdir(options.state_dir.c_str(), 0700);
  try {
    for (int i = 0; i < options.phones; ++i) {
      fleet.phones.push_back(std::make_shared<Phone>(fleet, i));
      fleet.phones.back()->Listen();
    }
  } catch (const std::exception& error) {
    std::cerr << "phonesim: phone "
              << AddressOf(options.first_address, static_cast<int>(fleet.phones.size()) - 1)
              << " cannot listen on port " << options.contact_port << " or " << options.web_port << ": "
              << error.what() << "\n";
    return 1;
  }
  std::cout << nlohmann::ordered_json({{"event", "ready"}, {"phones", options.phones}}).dump() << std::endl;
  for (const auto& phone : fleet.phones) asio::co_spawn(fleet.io, phone->Boot(), asio::detached);
  asio::signal_set signals(fleet.io, SIGINT, SIGTERM);
  signals.async_wait([&](Error, int) { fleet.io.stop(); });
  fleet.io.run();
  nlohmann::ordered_json counts;
  counts["event"] = "stopped";
  for (const auto& [event, count] : fleet.ledger.Counts()) counts[event] = count;
  std::cout << counts.dump() << std::endl;
  return 0;
}

}  // namespace phonesim
