// A server that says what a test wrote down, on two ports with real TLS: the default one, which asks no phone
// for a certificate, and the secure one, which does. Runs on the phones' own io_context, so that a test is
// one thread.
#pragma once

#include "phonesim/net.h"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "phonesim/credential.h"
#include "phonesim/wpi.h"

namespace phonesim {

// A small CA of the test's own.
class TestCa {
 public:
  explicit TestCa(const std::string& name);
  ~TestCa();
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  const std::string& pem() const { return pem_; }
  // For servers and clients alike, with this serial number.
  Credential Issue(const std::string& name, int serial) const;

 private:
  EVP_PKEY* key_;
  X509* certificate_;
  std::string pem_;
};

// PKCS#12 in Base64.
std::string Pack(const Credential& credential, const std::string& passphrase = "");

struct Heard {
  bool secure = false;
  std::string client_serial;  // of the certificate that the phone presented
  std::string reason, action, status;
  std::map<std::string, std::string> items;  // value, or "!" and the status
};

class FakeDls {
 public:
  // Phones must present a certificate of `client_ca` on the secure port.
  FakeDls(asio::io_context& io, const Credential& server, const Credential& secure_server,
          const TestCa& client_ca);

  int port() const { return default_door_.port; }
  int secure_port() const { return secure_door_.port; }

  // The next messages of a phone on that port get these actions; after them, each gets CleanUp.
  void Say(bool secure, const std::string& action, const std::vector<Item>& items = {});
  // The next messages on the secure port are refused by HTTP.
  void RefuseSecure(int times) { refusals_ = times; }
  const std::vector<Heard>& heard() const { return heard_; }

 private:
  struct Door {
    explicit Door(asio::io_context& io) : acceptor(io, {asio::ip::make_address("127.0.0.1"), 0}) {}
    tcp::acceptor acceptor;
    int port = acceptor.local_endpoint().port();
    bool secure = false;
    std::shared_ptr<asio::ssl::context> tls;
    std::deque<std::pair<std::string, std::vector<Item>>> script;
  };

  awaitable<void> Accept(Door& door);
  awaitable<void> Serve(Door& door, tcp::socket socket);
  std::string Answer(Door& door, const std::string& client_serial, const std::string& body);

  asio::io_context& io_;
  Door default_door_, secure_door_;
  int refusals_ = 0;
  std::vector<Heard> heard_;
};

}  // namespace phonesim
