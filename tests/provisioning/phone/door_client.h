// A client of doors in tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/time/time.h>
#include <gtest/gtest.h>

namespace phonepki::provisioning::phone {

inline constexpr char kPath[] = "/DeploymentService/LoginService";

// A phone, or something worse. Every wait of it ends after 20 s.
class Client {
 public:
  explicit Client(int port, const char* from = "127.0.0.1") {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, from, &address.sin_addr);
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    if (socket_ >= 0) close(socket_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }

  // Before StartTls: the certificate to present, others to send with it, its key. Keeps none of them.
  void Present(X509* certificate, EVP_PKEY* key, const std::vector<X509*>& more = {}) {
    EXPECT_EQ(SSL_CTX_use_certificate(Context(), certificate), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey(Context(), key), 1);
    for (X509* other : more) EXPECT_EQ(SSL_CTX_add1_chain_cert(Context(), other), 1);
  }

  // Before StartTls: a session to resume; must live until then.
  void Resume(SSL_SESSION* session) { session_ = session; }

  // False when the handshake fails. In TLS 1.3 a door refuses the client's certificate only after that.
  bool StartTls(int max_version = TLS1_3_VERSION) {
    Context();
    SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_, max_version);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, socket_);
    if (session_ != nullptr) SSL_set_session(ssl_, session_);
    const bool shaken = SSL_connect(ssl_) == 1;
    NoteTlsError();
    return shaken;
  }

  bool Send(const std::string& text) {
    if (ssl_ != nullptr) return SSL_write(ssl_, text.data(), static_cast<int>(text.size())) > 0;
    return send(socket_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
  }

  // OpenSSL's reason for the first failure of the connection, such as a received alert; 0: none.
  int TlsError() const { return tls_error_; }
  SSL* ssl() { return ssl_; }

  // One whole answer; what came of it when the door closed first.
  std::string Answer() {
    for (;;) {
      const auto head = buffer_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const std::size_t size = head + 4 + LengthIn(buffer_.substr(0, head));
        if (buffer_.size() >= size) {
          const std::string answer = buffer_.substr(0, size);
          buffer_.erase(0, size);
          return answer;
        }
      }
      if (!ReadSome()) return std::exchange(buffer_, "");
    }
  }

  // Nothing comes any more, and the door has closed.
  bool AtEnd() {
    while (ReadSome()) {
    }
    return closed_ && buffer_.empty();
  }

  // After the end: did the door close without regard for what we had sent? Systems other than Linux then drop
  // even what has arrived.
  bool WasReset() const {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error != 0;
  }

  // Is there something to read, an end included, within this time?
  bool Readable(absl::Duration limit) const {
    pollfd waiting{socket_, POLLIN, 0};
    return poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(limit))) > 0;
  }

 private:
  SSL_CTX* Context() {
    if (context_ != nullptr) return context_;
    context_ = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_cipher_list(context_, "ALL:@SECLEVEL=0");
    return context_;
  }
  void NoteTlsError() {
    if (tls_error_ == 0) tls_error_ = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
  }
  static std::size_t LengthIn(const std::string& head) {
    constexpr char kLength[] = "\r\nContent-Length: ";
    const auto at = head.find(kLength);
    std::size_t length = 0;
    if (at == std::string::npos) return 0;
    const std::string rest = head.substr(at + sizeof kLength - 1);
    EXPECT_TRUE(absl::SimpleAtoi(rest.substr(0, rest.find('\r')), &length)) << head;
    return length;
  }
  bool ReadSome() {
    char chunk[16384];
    errno = 0;
    const ssize_t size =
        ssl_ != nullptr ? SSL_read(ssl_, chunk, sizeof chunk) : recv(socket_, chunk, sizeof chunk, 0);
    if (size > 0) buffer_.append(chunk, static_cast<std::size_t>(size));
    if (size <= 0 && errno != EAGAIN) closed_ = true;
    if (size <= 0) NoteTlsError();
    return size > 0;
  }

  int socket_ = -1;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  SSL_SESSION* session_ = nullptr;
  std::string buffer_;
  int tls_error_ = 0;
  bool connected_ = false, closed_ = false;
};

inline std::string Request(const std::string& body, const std::string& headers = "",
                           const std::string& version = "1.1", const std::string& method = "POST",
                           const std::string& path = kPath) {
  return absl::StrCat(method, " ", path, " HTTP/", version, "\r\nHost: x\r\n", headers,
                      "Content-Length: ", body.size(), "\r\n\r\n", body);
}

}  // namespace phonepki::provisioning::phone
