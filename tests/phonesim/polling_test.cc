// Phones that nobody can knock at ask whether they shall call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/phonesim/phone_fixture.h"

namespace phonesim {
namespace {

using testing::HasSubstr;

class PollingTest : public PhoneTest {
 protected:
  // Answers polls with these, the last one for ever.
  void Answer(std::deque<std::string> statuses) {
    StartServer(server_);
    acceptor_ = std::make_unique<tcp::acceptor>(*io_, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
    options_.poll_seconds = 0.02;
    options_.poll_port = acceptor_->local_endpoint().port();
    asio::co_spawn(*io_, Serve(std::move(statuses)), asio::detached);
    StartPhone();
  }

  awaitable<void> Serve(std::deque<std::string> statuses) {
    for (;;) {
      tcp::socket socket = co_await acceptor_->async_accept(use_awaitable);
      std::string request;
      co_await asio::async_read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n", use_awaitable);
      asked_.push_back(request);
      const std::string answer = "HTTP/1.1 " + statuses.front() + "\r\nContent-Length: 0\r\n\r\n";
      if (statuses.size() > 1) statuses.pop_front();
      co_await asio::async_write(socket, asio::buffer(answer), use_awaitable);
    }
  }

  std::unique_ptr<tcp::acceptor> acceptor_;
  std::vector<std::string> asked_;
};

TEST_F(PollingTest, APhoneCallsWhenItIsToldTo) {
  Answer({"200 OK", "202 Accepted", "200 OK"});
  ASSERT_TRUE(Until([this] { return asked_.size() >= 4; }));
  EXPECT_THAT(asked_[0], HasSubstr("GET /dcmp/contact-me?device-id=00:1A:E8:00:00:01 HTTP/1.1"));
  ASSERT_TRUE(UntilCount("cleanup_received", 2));
  EXPECT_EQ(Count("poll_hit"), 1);
  EXPECT_EQ(dls_->heard().back().reason, "solicited");
}

TEST_F(PollingTest, NobodyCanKnockAtIt) {
  Answer({"200 OK"});
  tcp::socket socket(world_->io);
  Error error;
  socket.connect({asio::ip::make_address(phone_->ip()), 18085}, error);
  EXPECT_EQ(error, asio::error::connection_refused);
}

TEST_F(PollingTest, ErrorsAreRecordedAndDoNotStopIt) {
  Answer({"503 Service Unavailable", "202 Accepted", "200 OK"});
  ASSERT_TRUE(UntilCount("poll_hit", 1));
  EXPECT_EQ(Count("poll_failed"), 1);
}

TEST_F(PollingTest, AResetAtTheDeskDoesNotStopIt) {
  Answer({"200 OK"});
  ASSERT_TRUE(Until([this] { return asked_.size() >= 1; }));
  phone_->ResetToDefaultSecurity();
  Poll(5);  // what was under way ends
  const std::size_t asked = asked_.size();
  EXPECT_TRUE(Until([&] { return asked_.size() >= asked + 2; }));
}

TEST_F(PollingTest, APhoneThatIsOffDoesNotAsk) {
  Answer({"200 OK"});
  ASSERT_TRUE(Until([this] { return asked_.size() >= 2; }));
  phone_->SwitchOff();
  Poll(10);
  const std::size_t asked = asked_.size();
  Poll(20);
  EXPECT_EQ(asked_.size(), asked);
}

}  // namespace
}  // namespace phonesim
