// One phone and a server that follows a script.
#pragma once

#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "phonesim/phone.h"
#include "tests/phonesim/fake_dls.h"
#include "tests/testing/temp_dir.h"

namespace phonesim {

inline constexpr bool kDefaultPort = false, kSecurePort = true;

class PhoneTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.phones = 1;
    // Tests run side by side, and each wants ports of its own.
    options_.first_address =
        "127." + std::to_string(100 + getpid() % 100) + "." + std::to_string(getpid() / 100 % 250) + ".1";
    options_.contact_port = 18085;
    options_.web_port = 18086;
    options_.contact_gap_seconds = 0;
    options_.crash_interval_seconds = 0;
    options_.retry_seconds = options_.reboot_seconds = 0.01;
    options_.secure_attempts = 2;
    options_.ledger = dir_.path() + "/ledger";
  }

  // The server on both ports, and a phone that starts up. `secure_server`: what the secure port presents.
  void Start(const Credential& secure_server) {
    StartServer(secure_server);
    StartPhone();
  }

  void StartServer(const Credential& secure_server) {
    io_ = std::make_unique<asio::io_context>(1);
    dls_ = std::make_unique<FakeDls>(*io_, MakeFactoryDefault(), secure_server, client_ca_);
    options_.dls = {{"127.0.0.1", dls_->port()}};
  }

  void StartPhone() {
    phone_.reset();
    world_ = std::make_unique<World>(options_);
    phone_ = std::make_shared<Phone>(*world_, 0);
    phone_->Listen();
    phone_->Start();
  }

  void TearDown() override {
    if (phone_) phone_->SwitchOff();
    if (world_) Poll();
  }

  void Poll() {
    world_->io.restart();
    io_->restart();
    world_->io.run_for(std::chrono::milliseconds(2));
    io_->run_for(std::chrono::milliseconds(2));
  }

  // False when it does not come true within some 20 seconds.
  bool Until(const std::function<bool()>& condition) {
    for (int polls = 0; polls < 5000; ++polls) {
      if (condition()) return true;
      Poll();
    }
    return false;
  }

  void Poll(int times) {
    for (int i = 0; i < times; ++i) Poll();
  }

  std::int64_t Count(const std::string& event) {
    const auto counts = world_->ledger.Counts();
    const auto found = counts.find(event);
    return found == counts.end() ? 0 : found->second;
  }
  bool UntilCount(const std::string& event, std::int64_t count) {
    return Until([&] { return Count(event) >= count && !phone_->in_session(); });
  }

  void Knock(const std::string& form) {
    tcp::socket socket(world_->io);
    socket.connect({asio::ip::make_address(phone_->ip()), 18085});
    asio::write(socket, asio::buffer("POST /contact_dls.html/ContactDLS HTTP/1.1\r\nContent-Length: " +
                                     std::to_string(form.size()) + "\r\n\r\n" + form));
  }

  std::string Ledger() const {
    std::ifstream file(options_.ledger);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  phonepki::testing::TempDir dir_;
  Options options_;
  const TestCa server_ca_{"server CA"}, client_ca_{"client CA"}, foreign_ca_{"foreign CA"};
  const Credential server_ = server_ca_.Issue("dls", 2);
  const Credential client_ = client_ca_.Issue("phone", 7), next_client_ = client_ca_.Issue("phone", 8);
  std::unique_ptr<asio::io_context> io_;  // the server's; it outlives restarts of the phone
  std::unique_ptr<FakeDls> dls_;
  std::unique_ptr<World> world_;
  std::shared_ptr<Phone> phone_;
};

}  // namespace phonesim
