#include "provisioning/phone/http_door.h"

#include "provisioning/phone/io_context.h"

#include <signal.h>

#include <optional>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "provisioning/phone/server_tls.h"
#include "provisioning/phone/tls_stream.h"

namespace phonepki::provisioning::phone {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using Error = boost::system::error_code;

// Refusals that may wait to be reported: the pool is there for those who are let in.
constexpr int kMaxReports = 16;

IoRuntime::IoRuntime(int threads) : context_(std::make_unique<Context>(threads)) {
  signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL
  for (int i = 0; i < threads; ++i) context_->threads.emplace_back([this] { context_->io.run(); });
}

IoRuntime::~IoRuntime() {
  Stop();
}

void IoRuntime::Stop() {
  context_->work.reset();
  context_->io.stop();
  for (std::thread& thread : context_->threads) {
    if (thread.joinable()) thread.join();
  }
}

// The parts that the door and its connections share; lives as long as the last of them.
struct HttpDoor::Core : std::enable_shared_from_this<HttpDoor::Core> {
  Core(IoRuntime::Context& context, DoorOptions door_options, base::ThreadPool& handler_pool,
       HttpHandler on_request)
      : io(context.io),
        options(std::move(door_options)),
        pool(handler_pool),
        handler(std::move(on_request)),
        acceptor(context.io) {}

  void Accept();
  // False when this address, or the door, has too many connections already.
  bool Admit(const std::string& address);
  void Leave(const std::string& address);
  // Null at a plain door.
  std::shared_ptr<asio::ssl::context> Tls();
  void Report(RefusedClient client);

  asio::io_context& io;
  const DoorOptions options;
  base::ThreadPool& pool;
  const HttpHandler handler;
  tcp::acceptor acceptor;
  DoorCounters counters;
  std::atomic<bool> closing{false};
  std::atomic<int> handling{0};
  std::atomic<int> reports{0};

  absl::Mutex mutex;
  std::shared_ptr<asio::ssl::context> tls ABSL_GUARDED_BY(mutex);  // shared with a handshake being set up
  absl::flat_hash_map<std::string, int> per_address ABSL_GUARDED_BY(mutex);
  std::int64_t next_id ABSL_GUARDED_BY(mutex) = 0;
  absl::flat_hash_map<std::int64_t, std::function<void()>> abort ABSL_GUARDED_BY(mutex);
};

namespace {

std::string AddressText(const tcp::socket& socket) {
  Error error;
  asio::ip::address address = socket.remote_endpoint(error).address();
  if (error) return "";
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  if (address.is_v6()) {
    // The link that a link-local address belongs to is no part of it.
    address = asio::ip::make_address_v6(address.to_v6().to_bytes());
  }
  return address.to_string();
}

const char* StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Payload Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    default:
      return "Service Unavailable";
  }
}

// One connection. All members are touched on the strand only, except for the request while it is being
// handled.
template <typename Stream>
class Connection : public std::enable_shared_from_this<Connection<Stream>> {
 public:
  template <typename... A>
  Connection(std::shared_ptr<HttpDoor::Core> core, std::string address, A&&... stream)
      : core_(std::move(core)),
        address_(std::move(address)),
        stream_(std::forward<A>(stream)...),
        timer_(stream_.get_executor()) {}

  ~Connection() {
    absl::MutexLock lock(&core_->mutex);
    core_->abort.erase(id_);
  }

  void Start() {
    {
      absl::MutexLock lock(&core_->mutex);
      id_ = core_->next_id++;
      core_->abort[id_] = [weak = this->weak_from_this()] {
        if (auto self = weak.lock()) asio::post(self->stream_.get_executor(), [self] { self->Finish(); });
      };
    }
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      Deadline(core_->options.handshake_timeout);
      if (stream_.native_handle() != nullptr) check_.Watch(stream_.native_handle());
      stream_.async_handshake([self = this->shared_from_this()](Error error) { self->OnHandshake(error); });
    } else {
      AwaitRequest();
    }
  }

 private:
  tcp::socket& Socket() {
    if constexpr (std::is_same_v<Stream, tcp::socket>) {
      return stream_;
    } else {
      return stream_.next_layer();
    }
  }

  void OnHandshake(Error error) {
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      std::optional<Refusal> refusal = RefusalOf(stream_.native_handle(), check_, error);
      if (!error && !refusal) return AwaitRequest();
      ++core_->counters.handshake_failed;
      if (!refusal || finished_) return Finish();
      base::LogInfo("client_refused", {{"door", core_->options.name},
                                       {"address", address_},
                                       {"reason", refusal->reason},
                                       {"detail", refusal->detail}});
      core_->Report({address_, std::move(refusal->reason), std::move(check_.certificate)});
      Error ignored;
      Socket().shutdown(tcp::socket::shutdown_send, ignored);
      Deadline(absl::Seconds(2));
      Drain(64 << 10);
    }
  }

  // Closing a socket with octets unread resets the connection, and the client loses the alert that tells it
  // why: in TLS 1.3 it has sent its whole part of the handshake, even a request, before it can know.
  void Drain(std::size_t limit) {
    Socket().async_read_some(buffer_.prepare(1024),
                             [self = this->shared_from_this(), limit](Error error, std::size_t size) {
                               if (error || size >= limit) return self->Finish();
                               self->Drain(limit - size);
                             });
  }

  void Deadline(absl::Duration limit) {
    timer_.expires_after(absl::ToChronoNanoseconds(limit));
    timer_.async_wait([weak = this->weak_from_this()](Error error) {
      if (error) return;
      if (auto self = weak.lock()) {
        ++self->core_->counters.timed_out;
        self->Finish();
      }
    });
  }

  // Waits for the first octet with nothing but a small buffer held; only then a request clock starts.
  void AwaitRequest() {
    if (core_->closing || served_ >= core_->options.max_requests_per_connection) return Finish();
    if (buffer_.size() > 0) return ReadRequest();
    Deadline(core_->options.idle_timeout);
    stream_.async_read_some(buffer_.prepare(1024),
                            [self = this->shared_from_this()](Error error, std::size_t size) {
                              if (error) return self->Finish();
                              self->buffer_.commit(size);
                              self->ReadRequest();
                            });
  }

  void ReadRequest() {
    Deadline(core_->options.request_timeout);
    parser_.emplace();
    parser_->body_limit(core_->options.max_body);
    parser_->header_limit(static_cast<std::uint32_t>(core_->options.max_header));
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](Error error, std::size_t) { self->OnRequest(error); });
  }

  void OnRequest(Error error) {
    timer_.cancel();
    if (error == http::error::body_limit) return Refuse(413);
    if (error == http::error::header_limit) return Refuse(431);
    if (error) {
      const bool gone = error == http::error::end_of_stream || error == http::error::partial_message ||
                        error.category() != make_error_code(http::error::bad_method).category();
      return gone ? Finish() : Refuse(400);
    }
    const auto& message = parser_->get();
    const bool post = message.method() == http::verb::post;
    if (!core_->options.path.empty()) {
      if (message.target() != core_->options.path) return Refuse(404);
      if (!post) return Refuse(405);
    } else if (!post && message.method() != http::verb::get) {
      return Refuse(405);
    }
    ++core_->counters.requests;
    ++served_;
    keep_alive_ = message.keep_alive();
    HttpRequest request{std::string(message.method_string()), std::string(message.target()),
                        std::string(message[http::field::cookie]), std::move(parser_->get().body()),
                        address_};
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      request.client_certificate = ClientCertificate(stream_.native_handle());
    }
    parser_.reset();
    if (buffer_.size() == 0) buffer_.shrink_to_fit();
    Handle(std::move(request));
  }

  void Handle(HttpRequest request) {
    ++core_->handling;
    auto self = this->shared_from_this();
    const bool queued = core_->pool.TrySubmit([self, request = std::move(request)] {
      auto response = std::make_shared<HttpResponse>(self->core_->handler(request));
      asio::post(self->stream_.get_executor(), [self, response] { self->Answer(*response, true); });
    });
    if (queued) return;
    --core_->handling;
    Refuse(503);
  }

  void Refuse(int status) {
    ++core_->counters.bad_requests;
    base::LogInfo("request_refused",
                  {{"door", core_->options.name}, {"address", address_}, {"status", status}});
    HttpResponse response;
    response.status = status;
    response.close = true;
    Answer(response);
  }

  // `handled`: counted in Core::handling until the answer is out, so that a stop waits for it.
  void Answer(HttpResponse& response, bool handled = false) {
    const bool close = response.close || !keep_alive_ || core_->closing;
    answer_ =
        absl::StrCat("HTTP/1.1 ", response.status, " ", StatusText(response.status),
                     "\r\nContent-Length: ", response.body.size(),
                     response.body.empty() ? "" : absl::StrCat("\r\nContent-Type: ", response.content_type),
                     response.set_cookie.empty() ? "" : absl::StrCat("\r\nSet-Cookie: ", response.set_cookie),
                     response.status == 503 ? "\r\nRetry-After: 30" : "",
                     "\r\nConnection: ", close ? "close" : "keep-alive", "\r\n\r\n");
    answer_.append(response.body.view());
    Deadline(core_->options.write_timeout);
    asio::async_write(stream_, asio::buffer(answer_),
                      [self = this->shared_from_this(), close, handled](Error error, std::size_t) {
                        if (handled) --self->core_->handling;
                        base::WipeMemory(self->answer_.data(), self->answer_.size());
                        self->answer_ = std::string();
                        if (error || close) return self->Shutdown(!error);
                        self->AwaitRequest();
                      });
  }

  // A peer that goes away without close_notify is no loss here; ours is sent for peers that insist on it.
  void Shutdown(bool politely) {
    if constexpr (!std::is_same_v<Stream, tcp::socket>) {
      if (politely) {
        Deadline(absl::Seconds(2));
        stream_.async_shutdown([self = this->shared_from_this()](Error) { self->Finish(); });
        return;
      }
    }
    static_cast<void>(politely);
    Finish();
  }

  void Finish() {
    if (finished_) return;
    finished_ = true;
    timer_.cancel();
    Error ignored;
    Socket().shutdown(tcp::socket::shutdown_both, ignored);
    Socket().close(ignored);
    core_->Leave(address_);
  }

  const std::shared_ptr<HttpDoor::Core> core_;
  const std::string address_;
  ClientCheck check_;
  Stream stream_;
  asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string answer_;
  std::int64_t id_ = 0;
  int served_ = 0;
  bool keep_alive_ = false;
  bool finished_ = false;
};

}  // namespace

bool HttpDoor::Core::Admit(const std::string& address) {
  absl::MutexLock lock(&mutex);
  int& from_address = per_address[address];
  const bool room =
      counters.open < options.max_connections &&
      (options.max_connections_per_address == 0 || from_address < options.max_connections_per_address);
  if (room) {
    ++from_address;
    ++counters.open;
  } else if (from_address == 0) {
    per_address.erase(address);
  }
  return room;
}

void HttpDoor::Core::Leave(const std::string& address) {
  absl::MutexLock lock(&mutex);
  --counters.open;
  const auto found = per_address.find(address);
  if (found != per_address.end() && --found->second == 0) per_address.erase(found);
}

std::shared_ptr<asio::ssl::context> HttpDoor::Core::Tls() {
  absl::MutexLock lock(&mutex);
  return tls;
}

void HttpDoor::Core::Report(RefusedClient client) {
  if (!options.on_refused) return;
  ++handling;  // a stop waits for it, as for a request
  const bool queued =
      ++reports <= kMaxReports && pool.TrySubmit([self = shared_from_this(), client = std::move(client)] {
        self->options.on_refused(client);
        --self->reports;
        --self->handling;
      });
  if (queued) return;
  --reports;
  --handling;
}

void HttpDoor::Core::Accept() {
  acceptor.async_accept(asio::make_strand(io), [self = shared_from_this()](Error error, tcp::socket socket) {
    if (self->closing) return;
    if (error) {
      // Out of descriptors: wait for some to come back instead of spinning.
      auto pause = std::make_shared<asio::steady_timer>(self->io, std::chrono::milliseconds(50));
      pause->async_wait([self, pause](Error) { self->Accept(); });
      return;
    }
    ++self->counters.accepted;
    const std::string address = AddressText(socket);
    if (!self->Admit(address)) {
      ++self->counters.refused;
    } else {
      Error ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      if (const auto tls = self->Tls()) {
        std::make_shared<Connection<TlsStream>>(self, address, std::move(socket), tls->native_handle(),
                                                TlsStream::Side::kServer)
            ->Start();
      } else {
        std::make_shared<Connection<tcp::socket>>(self, address, std::move(socket))->Start();
      }
    }
    self->Accept();
  });
}

absl::StatusOr<std::unique_ptr<HttpDoor>> HttpDoor::Open(IoRuntime& io, DoorOptions options,
                                                         const TlsIdentity* tls, base::ThreadPool& pool,
                                                         HttpHandler handler) {
  auto core = std::make_shared<Core>(io.context(), std::move(options), pool, std::move(handler));
  if (tls != nullptr) {
    ASSIGN_OR_RETURN(auto made, MakeServerTls(*tls));
    absl::MutexLock lock(&core->mutex);
    core->tls = std::move(made);
  }
  Error error;
  const auto address = asio::ip::make_address(core->options.address, error);
  if (error)
    return base::InvalidField("address", "ADDRESS", absl::StrCat(core->options.address, " is no IP address"));
  tcp::endpoint endpoint(address, static_cast<unsigned short>(core->options.port));
  core->acceptor.open(endpoint.protocol(), error);
  const bool everywhere = address == asio::ip::address_v6::any();
  if (everywhere && error == asio::error::address_family_not_supported) {
    base::LogWarn("no_ipv6", {{"door", core->options.name}, {"listens", "on IPv4 only"}});
    endpoint = tcp::endpoint(tcp::v4(), endpoint.port());
    core->acceptor.open(endpoint.protocol(), error);
  } else if (!error && everywhere) {
    core->acceptor.set_option(asio::ip::v6_only(false), error);  // whatever this host's default is
  }
  if (!error) core->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) core->acceptor.bind(endpoint, error);
  if (!error) core->acceptor.listen(4096, error);
  if (error) {
    return base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                "door ", core->options.name, ": cannot listen on ", core->options.address,
                                ":", core->options.port, ": ", error.message())),
                            "ADDRESS_IN_USE");
  }
  core->Accept();
  return std::unique_ptr<HttpDoor>(new HttpDoor(std::move(core)));
}

absl::Status HttpDoor::SetTls(const TlsIdentity& tls) {
  ASSIGN_OR_RETURN(auto made, MakeServerTls(tls));
  absl::MutexLock lock(&core_->mutex);
  if (!core_->tls) return absl::FailedPreconditionError("a plain door has no TLS to change");
  core_->tls.swap(made);
  return absl::OkStatus();
}

void HttpDoor::Close(absl::Duration limit) {
  if (core_->closing.exchange(true)) return;
  asio::post(core_->io, [core = core_] {
    Error ignored;
    core->acceptor.close(ignored);
  });
  const absl::Time end = absl::Now() + limit;
  while (core_->handling > 0 && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  std::vector<std::function<void()>> aborts;
  {
    absl::MutexLock lock(&core_->mutex);
    for (const auto& [id, abort] : core_->abort) aborts.push_back(abort);
  }
  for (const auto& abort : aborts) abort();
}

HttpDoor::~HttpDoor() {
  Close(absl::ZeroDuration());
}

int HttpDoor::port() const {
  Error error;
  return core_->acceptor.local_endpoint(error).port();
}

const DoorCounters& HttpDoor::counters() const {
  return core_->counters;
}

}  // namespace phonepki::provisioning::phone
