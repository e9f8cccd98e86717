// Internal: TLS over an Asio socket with OpenSSL reading and writing the socket itself. asio::ssl::stream
// keeps four buffers of 17 kB for each connection; a door that holds ten thousand idle phones cannot afford
// them. This one keeps OpenSSL's state and, while octets are under way, OpenSSL's own record buffers.
//
// A Beast/Asio AsyncReadStream and AsyncWriteStream: one read and one write at a time. Needs SIGPIPE ignored
// (IoRuntime does it).
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <memory>
#include <utility>

#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>

namespace phonepki::provisioning::phone {

class TlsStream {
 public:
  using Error = boost::system::error_code;
  using Socket = boost::asio::ip::tcp::socket;
  using executor_type = Socket::executor_type;
  enum class Side { kServer, kClient };

  // The socket may be connected later, but before the handshake.
  TlsStream(Socket socket, SSL_CTX* context, Side side) : socket_(std::move(socket)), ssl_(SSL_new(context)) {
    if (!ssl_) return;
    SSL_set_mode(ssl_.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    side == Side::kServer ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& next_layer() { return socket_; }
  SSL* native_handle() { return ssl_.get(); }

  // void(Error)
  template <typename Handler>
  void async_handshake(Handler&& handler) {
    Error error;
    socket_.native_non_blocking(true, error);
    const bool ready =
        !error && ssl_ && SSL_set_fd(ssl_.get(), static_cast<int>(socket_.native_handle())) == 1;
    Run([ready](SSL* ssl, std::size_t&) { return ready ? SSL_do_handshake(ssl) : -1; },
        [handler = std::forward<Handler>(handler)](Error failed, std::size_t) mutable { handler(failed); });
  }

  // Sends close_notify; does not wait for the peer's. void(Error)
  template <typename Handler>
  void async_shutdown(Handler&& handler) {
    Run(
        [](SSL* ssl, std::size_t&) {
          const int result = SSL_shutdown(ssl);
          return result == 0 ? 1 : result;
        },
        [handler = std::forward<Handler>(handler)](Error failed, std::size_t) mutable { handler(failed); });
  }

  template <typename Buffers, typename Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    const boost::asio::mutable_buffer into = FirstOf<boost::asio::mutable_buffer>(buffers);
    return Run(
        [into](SSL* ssl, std::size_t& size) {
          return into.size() == 0 ? 1 : SSL_read_ex(ssl, into.data(), into.size(), &size);
        },
        std::forward<Token>(token));
  }

  template <typename Buffers, typename Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    const boost::asio::const_buffer from = FirstOf<boost::asio::const_buffer>(buffers);
    return Run(
        [from](SSL* ssl, std::size_t& size) {
          return from.size() == 0 ? 1 : SSL_write_ex(ssl, from.data(), from.size(), &size);
        },
        std::forward<Token>(token));
  }

 private:
  struct FreeSsl {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  // The first buffer that is not empty.
  template <typename Buffer, typename Buffers>
  static Buffer FirstOf(const Buffers& buffers) {
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != boost::asio::buffer_sequence_end(buffers); ++at) {
      if (Buffer(*at).size() > 0) return Buffer(*at);
    }
    return Buffer();
  }

  // Of a failed operation that does not merely wait for the socket.
  static Error ErrorOf(int kind) {
    if (kind == SSL_ERROR_ZERO_RETURN) return boost::asio::error::eof;
    // The last is what TLS itself says (a bad signature, a certificate missing); before it may stand the
    // cryptography's own words.
    if (const unsigned long code = ERR_peek_last_error(); code != 0) {
      ERR_clear_error();
      return {static_cast<int>(code), boost::asio::error::get_ssl_category()};
    }
    if (kind == SSL_ERROR_SYSCALL && errno != 0) return {errno, boost::asio::error::get_system_category()};
    return boost::asio::error::eof;
  }

  // Repeats `operation` (> 0: done) whenever the socket is ready, until it is done or fails.
  template <typename Operation, typename Token>
  auto Run(Operation operation, Token&& token) {
    enum class Phase { kFirst, kWaited, kDone };
    return boost::asio::async_compose<Token, void(Error, std::size_t)>(
        [this, operation, phase = Phase::kFirst, outcome = Error(), size = std::size_t{0}](
            auto& self, Error waited = {}) mutable {
          if (phase == Phase::kDone) return self.complete(outcome, size);
          const bool first = std::exchange(phase, Phase::kWaited) == Phase::kFirst;
          outcome = waited;
          // A descriptor closed meanwhile may already be somebody else's.
          if (!outcome && !socket_.is_open()) outcome = boost::asio::error::operation_aborted;
          if (!outcome) {
            ERR_clear_error();
            errno = 0;
            const int result = operation(ssl_.get(), size);
            if (result <= 0) {
              const int kind = ssl_ ? SSL_get_error(ssl_.get(), result) : SSL_ERROR_SSL;
              if (kind == SSL_ERROR_WANT_READ) return socket_.async_wait(Socket::wait_read, std::move(self));
              if (kind == SSL_ERROR_WANT_WRITE)
                return socket_.async_wait(Socket::wait_write, std::move(self));
              outcome = ErrorOf(kind);
            }
          }
          if (!first) return self.complete(outcome, size);
          // Never complete inside the call that started the operation.
          phase = Phase::kDone;
          boost::asio::post(socket_.get_executor(), std::move(self));
        },
        token, socket_);
  }

  Socket socket_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
};

}  // namespace phonepki::provisioning::phone
