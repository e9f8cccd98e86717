// Plain OpenSSL on plain sockets: an idle connection costs a quarter of what it would with Asio's buffers.
#include "phonesim/hold.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

#include <openssl/ssl.h>
#include <boost/asio/ip/tcp.hpp>
#include <nlohmann/json.hpp>

#include "phonesim/addresses.h"
#include "phonesim/wpi.h"

namespace phonesim {
namespace {

using Endpoint = boost::asio::ip::tcp::endpoint;

Endpoint EndpointOf(const std::string& address, int port) {
  return {boost::asio::ip::make_address(address), static_cast<unsigned short>(port)};
}

class Connection {
 public:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    SSL_free(ssl_);
    if (fd_ >= 0) close(fd_);
  }

  // What went wrong; empty when it is open.
  std::string Open(SSL_CTX* context, const std::string& from, const Endpoint& to) {
    fd_ = socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return "no more file descriptors";
    const timeval limit{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const Endpoint source = EndpointOf(from, 0);
    if (bind(fd_, source.data(), source.size()) != 0) return "cannot use " + from;
    if (connect(fd_, to.data(), to.size()) != 0) return "cannot connect";
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
    return SSL_connect(ssl_) == 1 ? "" : "TLS handshake failed";
  }

  std::string Post(const std::string& path, const std::string& body) {
    const std::string request =
        "POST " + path +
        " HTTP/1.1\r\nHost: dls\r\nContent-Type: text/xml\r\nContent-Length: " + std::to_string(body.size()) +
        "\r\n\r\n" + body;
    if (SSL_write(ssl_, request.data(), static_cast<int>(request.size())) <= 0) return "cannot send";
    std::string answer;
    char part[4096];
    while (answer.find("\r\n\r\n") == std::string::npos ||
           answer.find("</DLSMessage>") == std::string::npos) {
      const int size = SSL_read(ssl_, part, sizeof part);
      if (size <= 0) return "closed without a complete answer";
      answer.append(part, size);
      if (answer.size() > 1 << 20) return "endless answer";
      if (answer.size() > 12 && answer.compare(0, 12, "HTTP/1.1 200") != 0)
        return "refused: " + answer.substr(0, 12);
    }
    return "";
  }

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  SSL* ssl_ = nullptr;
};

std::string StartUp(const HoldOptions& options, int number) {
  const std::string ip = AddressOf(options.first_address, number / options.per_address);
  Outgoing message;
  message.nonce = "0123456789ABCDEF0123456789ABCDEF";
  message.reason = "start-up";
  message.items = {{"device-type", "", "OpenStage 60", ""},
                   {"software-type", "", "Siemens SIP", ""},
                   {"software-version", "", "V3 R5.1.0", ""},
                   {"contact-me-uri", "", "http://" + InUri(ip) + ":8085/contact_dls.html/ContactDLS", ""},
                   {"mac-addr", "", MacOf(options.first_mac, number), ""},
                   {"e164", "", std::to_string(498900000000 + number), ""}};
  return Print(message);
}

int CountLost(const std::vector<Connection>& connections) {
  std::vector<pollfd> polled;
  for (const Connection& connection : connections) polled.push_back({connection.fd(), POLLIN | POLLRDHUP, 0});
  poll(polled.data(), polled.size(), 0);
  return static_cast<int>(std::count_if(polled.begin(), polled.end(), [](const pollfd& one) {
    return (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }));
}

void Say(const nlohmann::ordered_json& line) {
  std::cout << line.dump() << std::endl;
}

}  // namespace

int RunHold(const HoldOptions& options) {
  Endpoint server;
  try {
    const auto [address, port] = ParseServer(options.dls);
    server = EndpointOf(address, port);
    AddressOf(options.first_address, 0);
  } catch (const std::exception& error) {
    std::cerr << "phonesim: " << error.what() << "\n";
    return 2;
  }
  // Before the threads, so that they inherit it: the signal waits until it is asked for.
  signal(SIGPIPE, SIG_IGN);
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  std::vector<Connection> connections(options.connections);
  std::vector<std::string> problems(options.connections);
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < options.concurrency; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < options.connections && !failed; i = next++) {
        problems[i] = connections[i].Open(context.get(),
                                          AddressOf(options.first_address, i / options.per_address), server);
        if (problems[i].empty() && !options.handshake_only) {
          problems[i] = connections[i].Post(options.path, StartUp(options, i));
        }
        if (!problems[i].empty()) failed = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto problem =
      std::find_if(problems.begin(), problems.end(), [](const auto& one) { return !one.empty(); });
  if (problem != problems.end()) {
    std::cerr << "phonesim: connection " << problem - problems.begin() + 1 << " of " << options.connections
              << ": " << *problem << "\n";
    return 1;
  }
  Say({{"event", "holding"}, {"connections", options.connections}});
  int received = 0;
  sigwait(&stop, &received);
  const int lost = CountLost(connections);
  Say({{"event", "stopped"}, {"connections", options.connections - lost}, {"lost", lost}});
  return lost == 0 ? 0 : 1;
}

}  // namespace phonesim
