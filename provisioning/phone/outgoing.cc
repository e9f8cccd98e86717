#include "provisioning/phone/outgoing.h"

#include "provisioning/phone/io_context.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>

#include "base/error.h"
#include "provisioning/phone/tls_stream.h"

namespace phonepki::provisioning::phone {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Error = boost::system::error_code;

absl::Status Unreachable(const std::string& what, const Error& error) {
  return absl::UnavailableError(absl::StrCat(what, ": ", error.message()));
}

// IPv6 addresses stand in brackets there. In a form they do not.
std::string InUri(const std::string& address) {
  return absl::StrContains(address, ':') ? absl::StrCat("[", address, "]") : address;
}

// One outgoing attempt with one deadline for everything.
template <typename Self>
class Attempt : public std::enable_shared_from_this<Self> {
 public:
  explicit Attempt(asio::io_context& io) : strand_(asio::make_strand(io)), timer_(strand_) {}

 protected:
  template <typename OnTimeout>
  void Deadline(absl::Duration timeout, OnTimeout on_timeout) {
    timer_.expires_after(absl::ToChronoNanoseconds(timeout));
    timer_.async_wait([self = this->shared_from_this(), on_timeout](Error error) {
      if (!error) on_timeout();
    });
  }
  asio::strand<asio::io_context::executor_type> strand_;
  asio::steady_timer timer_;
};

class KnockAttempt : public Attempt<KnockAttempt> {
 public:
  KnockAttempt(asio::io_context& io, const KnockTarget& target, std::function<void(absl::Status)> done)
      : Attempt(io), socket_(strand_), done_(std::move(done)) {
    std::string form = "ContactMe=true";
    if (!target.dls_address.empty()) {
      absl::StrAppend(&form, "&dls_ip_addr=", target.dls_address, "&dls_ip_port=", target.dls_port);
    }
    request_ = absl::StrCat(
        "POST ", target.path, " HTTP/1.1\r\nHost: ", InUri(target.address), ":", target.port,
        "\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\nContent-Length: ", form.size(),
        "\r\nConnection: close\r\n\r\n", form);
  }

  void Start(const tcp::endpoint& endpoint, absl::Duration timeout) {
    Deadline(timeout, [self = shared_from_this()] {
      self->Finish(absl::DeadlineExceededError("the phone did not answer the contact-me in time"));
    });
    socket_.async_connect(endpoint, [self = shared_from_this()](Error error) {
      if (error) return self->Finish(Unreachable("the phone cannot be reached", error));
      asio::async_write(self->socket_, asio::buffer(self->request_), [self](Error failed, std::size_t) {
        if (failed) return self->Finish(Unreachable("the contact-me could not be sent", failed));
        self->ReadAnswer();
      });
    });
  }

 private:
  void ReadAnswer() {
    asio::async_read_until(socket_, answer_, "\r\n", [self = shared_from_this()](Error error, std::size_t) {
      if (error) return self->Finish(Unreachable("the phone closed without an answer", error));
      std::istream in(&self->answer_);
      std::string version;
      int status = 0;
      in >> version >> status;
      self->Finish(status == 204 ? absl::OkStatus()
                                 : absl::FailedPreconditionError(
                                       absl::StrCat("the phone answered the contact-me with ", status)));
    });
  }

  void Finish(absl::Status status) {
    if (!done_) return;
    timer_.cancel();
    Error ignored;
    socket_.close(ignored);
    std::exchange(done_, nullptr)(std::move(status));
  }

  tcp::socket socket_;
  std::function<void(absl::Status)> done_;
  std::string request_;
  asio::streambuf answer_{4096};
};

asio::ssl::context& ProbeTls() {
  static asio::ssl::context* context = [] {
    auto* made = new asio::ssl::context(asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_VERSION);
    SSL_CTX_set_cipher_list(made->native_handle(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_verify(made->native_handle(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(made->native_handle(), SSL_SESS_CACHE_OFF);
    return made;
  }();
  return *context;
}

class ProbeAttempt : public Attempt<ProbeAttempt> {
 public:
  ProbeAttempt(asio::io_context& io, std::function<void(ProbeResult)> done)
      : Attempt(io),
        stream_(tcp::socket(strand_), ProbeTls().native_handle(), TlsStream::Side::kClient),
        done_(std::move(done)) {}

  void Start(const tcp::endpoint& endpoint, absl::Duration timeout) {
    Deadline(timeout, [self = shared_from_this()] {
      self->Finish({absl::DeadlineExceededError("the phone's web server did not answer in time"), {}});
    });
    stream_.next_layer().async_connect(endpoint, [self = shared_from_this()](Error error) {
      if (error) return self->Finish({Unreachable("the phone's web server cannot be reached", error), {}});
      self->stream_.async_handshake([self](Error failed) {
        if (failed) return self->Finish({Unreachable("TLS with the phone's web server failed", failed), {}});
        self->ReadCertificate();
      });
    });
  }

 private:
  void ReadCertificate() {
    ProbeResult result;
    const X509* leaf = SSL_get0_peer_certificate(stream_.native_handle());
    unsigned char* der = nullptr;
    const int size = leaf == nullptr ? 0 : i2d_X509(leaf, &der);
    if (size > 0) {
      result.leaf_der.assign(der, der + size);
    } else {
      result.status = absl::UnavailableError("the phone's web server presents no certificate");
    }
    OPENSSL_free(der);
    Finish(std::move(result));
  }

  void Finish(ProbeResult result) {
    if (!done_) return;
    timer_.cancel();
    Error ignored;
    stream_.next_layer().close(ignored);
    std::exchange(done_, nullptr)(std::move(result));
  }

  TlsStream stream_;
  std::function<void(ProbeResult)> done_;
};

}  // namespace

absl::StatusOr<KnockTarget> ParseContactMeUri(const std::string& uri, const std::string& address) {
  KnockTarget target;
  target.address = address;
  if (uri.empty()) return target;
  absl::string_view rest = uri;
  if (uri.size() > 255 || !absl::ConsumePrefix(&rest, "http://")) {
    return base::WithReason(
        absl::InvalidArgumentError("contact-me-uri must be an http:// URI of at most 255 octets"),
        "CONTACT_ME_URI");
  }
  const auto slash = rest.find('/');
  const absl::string_view authority = rest.substr(0, slash);
  if (slash != absl::string_view::npos) target.path = std::string(rest.substr(slash));
  const auto colon = authority.rfind(':');
  const bool bracket_after =
      authority.find(']', colon == absl::string_view::npos ? 0 : colon) != absl::string_view::npos;
  target.port = 80;
  if (colon != absl::string_view::npos && !bracket_after &&
      (!absl::SimpleAtoi(authority.substr(colon + 1), &target.port) || target.port < 1 ||
       target.port > 65535)) {
    return base::WithReason(absl::InvalidArgumentError("contact-me-uri has no valid port"), "CONTACT_ME_URI");
  }
  for (char c : target.path) {
    if (c <= ' ' || c > '~') {
      return base::WithReason(absl::InvalidArgumentError("contact-me-uri has an invalid path"),
                              "CONTACT_ME_URI");
    }
  }
  return target;
}

void Knock(IoRuntime& io, const KnockTarget& target, absl::Duration timeout,
           std::function<void(absl::Status)> done) {
  Error error;
  const auto address = asio::ip::make_address(target.address, error);
  if (error) return done(absl::UnavailableError("the phone's address is not known"));
  std::make_shared<KnockAttempt>(io.context().io, target, std::move(done))
      ->Start({address, static_cast<unsigned short>(target.port)}, timeout);
}

void Probe(IoRuntime& io, const std::string& address, int port, absl::Duration timeout,
           std::function<void(ProbeResult)> done) {
  Error error;
  const auto parsed = asio::ip::make_address(address, error);
  if (error) return done({absl::UnavailableError("the phone's address is not known"), {}});
  std::make_shared<ProbeAttempt>(io.context().io, std::move(done))
      ->Start({parsed, static_cast<unsigned short>(port)}, timeout);
}

}  // namespace phonepki::provisioning::phone
