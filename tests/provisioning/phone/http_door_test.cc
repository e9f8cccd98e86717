#include "provisioning/phone/http_door.h"

#include <signal.h>

#include <thread>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/provisioning/phone/door_client.h"
#include "tests/provisioning/phone/test_identity.h"
#include "tests/testing/status.h"
#include "tests/testing/wait.h"

namespace phonepki::provisioning::phone {
namespace {

using phonepki::testing::WaitUntil;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class HttpDoorTest : public ::testing::Test {
 protected:
  HttpDoorTest() {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to closed sockets without MSG_NOSIGNAL
    options_.name = "test";
    options_.address = "127.0.0.1";
    options_.path = kPath;
    handler_ = [](const HttpRequest& request) {
      HttpResponse response;
      response.body = base::Secret(absl::StrCat("echo:", request.body));
      return response;
    };
  }

  void Open(const TlsIdentity* tls = nullptr) {
    auto door = HttpDoor::Open(io_, options_, tls, pool_,
                               [this](const HttpRequest& request) { return handler_(request); });
    ASSERT_OK(door);
    door_ = std::move(*door);
  }
  int port() const { return door_->port(); }
  bool OpenConnectionsBecome(int count) {
    return WaitUntil([&] { return door_->counters().open == count; });
  }

  DoorOptions options_;
  HttpHandler handler_;
  // In the order in which they are needed: the door goes first, then the handlers, then the threads under
  // both.
  IoRuntime io_{2};
  base::ThreadPool pool_{4, 16};
  std::unique_ptr<HttpDoor> door_;
};

// Requests and answers

TEST_F(HttpDoorTest, TheHandlerSeesTheRequestAndTheClientItsAnswer) {
  HttpRequest seen;
  handler_ = [&](const HttpRequest& request) {
    seen = request;
    HttpResponse response;
    response.body = base::Secret("<DLSMessage/>");
    response.set_cookie = "JSESSIONID=AB; Path=/DeploymentService; Secure";
    return response;
  };
  Open();
  Client client(port(), "127.0.0.9");
  ASSERT_TRUE(client.Send(
      Request("<WorkpointMessage/>", "Cookie: JSESSIONID=00; path=/\r\nContent-type: text/xml\r\n")));
  EXPECT_EQ(client.Answer(),
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/xml; charset=UTF-8\r\n"
            "Set-Cookie: JSESSIONID=AB; Path=/DeploymentService; Secure\r\nConnection: "
            "keep-alive\r\n\r\n<DLSMessage/>");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, kPath);
  EXPECT_EQ(seen.cookie, "JSESSIONID=00; path=/");
  EXPECT_EQ(seen.body, "<WorkpointMessage/>");
  EXPECT_EQ(seen.remote_address, "127.0.0.9");
}

TEST_F(HttpDoorTest, ADoorForBothWorldsKnowsIPv4ClientsByTheirIPv4Address) {
  std::string seen;
  handler_ = [&](const HttpRequest& request) {
    seen = request.remote_address;
    return HttpResponse();
  };
  options_.address = "::";
  Open();
  Client client(port(), "127.0.0.9");
  ASSERT_TRUE(client.Send(Request("x")));
  EXPECT_THAT(client.Answer(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(seen, "127.0.0.9");
}

TEST_F(HttpDoorTest, AnswersCarryTheirLengthAndAreNeverChunked) {
  handler_ = [](const HttpRequest& request) {
    HttpResponse response;
    std::size_t size = 0;
    EXPECT_TRUE(absl::SimpleAtoi(request.body, &size));
    response.body = base::Secret(std::string(size, 'x'));
    return response;
  };
  Open(&Identity());
  Client client(port());
  ASSERT_TRUE(client.StartTls());
  for (const int size : {0, 1, 16384, 16385, 50000, 3000000}) {
    ASSERT_TRUE(client.Send(Request(absl::StrCat(size))));
    const std::string answer = client.Answer();
    EXPECT_THAT(answer.substr(0, 300), HasSubstr(absl::StrCat("\r\nContent-Length: ", size, "\r\n")));
    EXPECT_THAT(answer.substr(0, 300), Not(HasSubstr("Transfer-Encoding")));
    EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, static_cast<std::size_t>(size));
  }
}

TEST_F(HttpDoorTest, AConnectionServesManyRequestsAndPhonesMaySayClose) {
  Open(&Identity());
  Client client(port());
  ASSERT_TRUE(client.StartTls());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client.Send(Request(absl::StrCat(i))));
    EXPECT_THAT(client.Answer(), HasSubstr(absl::StrCat("Connection: keep-alive\r\n\r\necho:", i)));
  }
  ASSERT_TRUE(client.Send(Request("last", "Connection: close\r\n")));
  EXPECT_THAT(client.Answer(), HasSubstr("Connection: close\r\n\r\necho:last"));
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(door_->counters().accepted, 1);
  EXPECT_EQ(door_->counters().requests, 21);
}

TEST_F(HttpDoorTest, AnHttp10ClientIsServedAndClosed) {
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a", "", "1.0")));
  EXPECT_THAT(client.Answer(), HasSubstr("Connection: close\r\n\r\necho:a"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpDoorTest, TheHandlerMayCloseTheConnection) {
  handler_ = [](const HttpRequest&) {
    HttpResponse response;
    response.status = 403;
    response.close = true;
    return response;
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  EXPECT_EQ(client.Answer(), "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpDoorTest, PipelinedRequestsAreAnsweredInOrder) {
  Open();
  Client client(port());
  std::string all;
  for (int i = 0; i < 10; ++i) all += Request(absl::StrCat("number ", i));
  ASSERT_TRUE(client.Send(all));
  for (int i = 0; i < 10; ++i) EXPECT_THAT(client.Answer(), HasSubstr(absl::StrCat("echo:number ", i)));
}

TEST_F(HttpDoorTest, ARequestInPiecesIsPutTogether) {
  Open();
  Client client(port());
  const std::string request = Request("in pieces");
  for (const char c : request) ASSERT_TRUE(client.Send(std::string(1, c)));
  EXPECT_THAT(client.Answer(), HasSubstr("echo:in pieces"));
}

TEST_F(HttpDoorTest, AfterItsLastRequestAConnectionIsClosed) {
  options_.max_requests_per_connection = 2;
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("1")));
  EXPECT_THAT(client.Answer(), HasSubstr("echo:1"));
  ASSERT_TRUE(client.Send(Request("2")));
  EXPECT_THAT(client.Answer(), HasSubstr("echo:2"));
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(HttpDoorTest, WithoutAPathAnyTargetMayBeReadOrPosted) {
  options_.path.clear();
  handler_ = [](const HttpRequest& request) {
    HttpResponse response;
    response.body = base::Secret(absl::StrCat(request.method, " ", request.target));
    return response;
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send("GET /dcmp/contact-me?device-id=00:1A HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_THAT(client.Answer(), HasSubstr("GET /dcmp/contact-me?device-id=00:1A"));
  ASSERT_TRUE(client.Send(Request("", "", "1.1", "DELETE", "/x")));
  EXPECT_THAT(client.Answer(), StartsWith("HTTP/1.1 405 "));
}

// Refusals

TEST_F(HttpDoorTest, WhatIsNotForThisDoorIsRefusedAndNeverHandled) {
  options_.max_body = 1000;
  options_.max_header = 500;
  handler_ = [](const HttpRequest&) {
    ADD_FAILURE() << "must not be handled";
    return HttpResponse();
  };
  Open();
  const struct {
    const char* what;
    std::string request;
    const char* status;
  } kCases[] = {
      {"another path", Request("", "", "1.1", "POST", "/other"), "404 Not Found"},
      {"a query", Request("", "", "1.1", "POST", absl::StrCat(kPath, "?x")), "404 Not Found"},
      {"GET", absl::StrCat("GET ", kPath, " HTTP/1.1\r\nHost: x\r\n\r\n"), "405 Method Not Allowed"},
      {"PUT", Request("x", "", "1.1", "PUT"), "405 Method Not Allowed"},
      {"a length beyond the limit",
       absl::StrCat("POST ", kPath, " HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"),
       "413 Payload Too Large"},
      {"a huge length",
       absl::StrCat("POST ", kPath, " HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n"),
       "413 Payload Too Large"},
      {"chunks beyond the limit",
       absl::StrCat("POST ", kPath, " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n",
                    std::string(1024, 'x'), "\r\n"),
       "413 Payload Too Large"},
      {"a long header", Request("", absl::StrCat("X: ", std::string(600, 'y'), "\r\n")),
       "431 Request Header Fields Too Large"},
      {"a long path", Request("", "", "1.1", "POST", "/" + std::string(600, 'y')),
       "431 Request Header Fields Too Large"},
      {"noise", "\x16\x03\x01 hello\r\n\r\n", "400 Bad Request"},
      {"two lengths", Request("", "Content-Length: 5\r\n"), "400 Bad Request"},
      {"a negative length",
       absl::StrCat("POST ", kPath, " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"), "400 Bad Request"},
  };
  for (const auto& bad : kCases) {
    Client client(port());
    ASSERT_TRUE(client.Send(bad.request));
    const std::string answer = client.Answer();
    EXPECT_THAT(answer, StartsWith(absl::StrCat("HTTP/1.1 ", bad.status, "\r\nContent-Length: 0\r\n")))
        << bad.what;
    EXPECT_THAT(answer, HasSubstr("Connection: close")) << bad.what;
    EXPECT_TRUE(client.AtEnd()) << bad.what;
  }
  EXPECT_EQ(door_->counters().bad_requests, static_cast<std::int64_t>(std::size(kCases)));
  EXPECT_EQ(door_->counters().requests, 0);
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

TEST_F(HttpDoorTest, ABodyOfJustTheLimitIsTaken) {
  options_.max_body = 1000;
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request(std::string(1000, 'x'))));
  EXPECT_THAT(client.Answer(), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpDoorTest, WithAllHandlersBusyAPhoneIsAskedToComeLater) {
  base::ThreadPool small(1, 1);
  absl::Notification started, go;
  std::atomic<int> handled{0};
  auto door = HttpDoor::Open(io_, options_, nullptr, small, [&](const HttpRequest&) {
    if (handled++ == 0) started.Notify();
    go.WaitForNotification();
    return HttpResponse();
  });
  ASSERT_OK(door);
  const int at = (*door)->port();
  Client running(at), queued(at), refused(at);
  ASSERT_TRUE(running.Send(Request("1")));
  started.WaitForNotification();
  ASSERT_TRUE(queued.Send(Request("2")));
  ASSERT_TRUE(WaitUntil([&] { return (*door)->counters().requests == 2; }));
  ASSERT_TRUE(refused.Send(Request("3")));
  const std::string answer = refused.Answer();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nRetry-After: "));
  EXPECT_TRUE(refused.AtEnd());
  go.Notify();
  EXPECT_THAT(running.Answer(), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(queued.Answer(), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(handled, 2);
  door->reset();
}

// Time

TEST_F(HttpDoorTest, OneOctetAtATimeDoesNotHoldAConnection) {
  options_.request_timeout = absl::Milliseconds(300);
  Open();
  Client client(port());
  const std::string endless = absl::StrCat("POST ", kPath, " HTTP/1.1\r\nX: ", std::string(4000, 'y'));
  std::size_t sent = 0;
  // Readable only when the door has closed: it has nothing to say.
  while (sent < endless.size() && client.Send(endless.substr(sent, 1)) &&
         !client.Readable(absl::Milliseconds(10)))
    ++sent;
  EXPECT_LT(sent, endless.size());
  EXPECT_TRUE(client.AtEnd());
  EXPECT_EQ(door_->counters().timed_out, 1);
}

TEST_F(HttpDoorTest, ASlowBodyIsCutTheSameWay) {
  options_.request_timeout = absl::Milliseconds(300);
  Open(&Identity());
  Client client(port());
  ASSERT_TRUE(client.StartTls());
  ASSERT_TRUE(
      client.Send(absl::StrCat("POST ", kPath, " HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")));
  int sent = 0;
  while (sent < 5000 && client.Send("y") && !client.Readable(absl::Milliseconds(10))) ++sent;
  EXPECT_LT(sent, 5000);
  EXPECT_TRUE(client.AtEnd());
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

TEST_F(HttpDoorTest, AnIdleConnectionIsClosed) {
  options_.idle_timeout = absl::Milliseconds(100);
  Open();
  Client silent(port()), served(port());
  ASSERT_TRUE(served.Send(Request("a")));
  EXPECT_THAT(served.Answer(), HasSubstr("Connection: keep-alive"));
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(served.AtEnd());
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

TEST_F(HttpDoorTest, AHandlerMayTakeLongerThanTheIdleTime) {
  options_.idle_timeout = options_.request_timeout = absl::Milliseconds(50);
  absl::Notification go;
  handler_ = [&](const HttpRequest&) {
    go.WaitForNotification();
    HttpResponse response;
    response.close = true;
    return response;
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  EXPECT_FALSE(client.Readable(absl::Milliseconds(300)));
  go.Notify();
  EXPECT_THAT(client.Answer(), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(HttpDoorTest, AHandshakeThatNeverEndsIsCut) {
  options_.handshake_timeout = absl::Milliseconds(200);
  Open(&Identity());
  Client silent(port()), half(port());
  ASSERT_TRUE(half.Send("\x16\x03\x01"));
  EXPECT_TRUE(silent.AtEnd());
  EXPECT_TRUE(half.AtEnd());
  EXPECT_TRUE(OpenConnectionsBecome(0));
  EXPECT_EQ(door_->counters().timed_out, 2);
}

TEST_F(HttpDoorTest, AClientThatDoesNotReadIsCut) {
  options_.write_timeout = absl::Milliseconds(200);
  handler_ = [](const HttpRequest&) {
    HttpResponse response;
    response.body = base::Secret(std::string(30 << 20, 'x'));
    return response;
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().timed_out == 1; }));
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

// Limits on connections

TEST_F(HttpDoorTest, AnAddressHasItsLimitAndOthersAreNotConcerned) {
  options_.max_connections_per_address = 2;
  Open();
  auto first = std::make_unique<Client>(port());
  Client second(port());
  ASSERT_TRUE(OpenConnectionsBecome(2));
  Client third(port());
  EXPECT_TRUE(third.AtEnd());
  EXPECT_EQ(door_->counters().refused, 1);
  Client elsewhere(port(), "127.0.0.2");
  ASSERT_TRUE(elsewhere.Send(Request("a")));
  EXPECT_THAT(elsewhere.Answer(), HasSubstr("echo:a"));
  first.reset();
  ASSERT_TRUE(OpenConnectionsBecome(2));
  Client fourth(port());
  ASSERT_TRUE(fourth.Send(Request("b")));
  EXPECT_THAT(fourth.Answer(), HasSubstr("echo:b"));
}

TEST_F(HttpDoorTest, TheDoorHasALimitOfItsOwn) {
  options_.max_connections = 2;
  options_.max_connections_per_address = 0;
  Open();
  Client first(port(), "127.0.0.1"), second(port(), "127.0.0.2");
  ASSERT_TRUE(OpenConnectionsBecome(2));
  Client third(port(), "127.0.0.3");
  EXPECT_TRUE(third.AtEnd());
  ASSERT_TRUE(second.Send(Request("a")));
  EXPECT_THAT(second.Answer(), HasSubstr("echo:a"));
}

TEST_F(HttpDoorTest, HundredsOfConnectionsAtOnceAreServed) {
  options_.max_connections_per_address = 0;
  Open();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 300; ++i) clients.push_back(std::make_unique<Client>(port()));
  ASSERT_TRUE(OpenConnectionsBecome(300));
  for (const auto& client : clients) {
    ASSERT_TRUE(client->Send(Request("x")));
    EXPECT_THAT(client->Answer(), HasSubstr("echo:x"));
  }
  clients.clear();
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

// TLS

TEST_F(HttpDoorTest, OldTlsIsForLegacyDoorsOnly) {
  Open(&Identity());
  Client old(port()), current(port());
  EXPECT_FALSE(old.StartTls(TLS1_1_VERSION));
  EXPECT_TRUE(current.StartTls(TLS1_2_VERSION));
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().handshake_failed == 1; }));
  door_.reset();

  Open(&Identity(true));
  Client welcome(port());
  ASSERT_TRUE(welcome.StartTls(TLS1_VERSION));
  ASSERT_TRUE(welcome.Send(Request("a")));
  EXPECT_THAT(welcome.Answer(), HasSubstr("echo:a"));
}

TEST_F(HttpDoorTest, PlainHttpAtATlsDoorIsAFailedHandshake) {
  Open(&Identity());
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  EXPECT_THAT(client.Answer(), Not(HasSubstr("HTTP")));
  EXPECT_TRUE(WaitUntil([&] { return door_->counters().handshake_failed == 1; }));
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

TEST_F(HttpDoorTest, AnIdentityThatDoesNotFitIsRefused) {
  const auto open = [&](std::string chain, std::string_view key) {
    const TlsIdentity identity{std::move(chain), base::Secret(key)};
    return HttpDoor::Open(io_, options_, &identity, pool_, handler_).status();
  };
  EXPECT_CODE(open("", Identity().key_pem.view()), kInvalidArgument);
  EXPECT_CODE(open(Identity().chain_pem, ""), kInvalidArgument);
  EXPECT_CODE(open(Identity().chain_pem, Identity(true).key_pem.view()), kInvalidArgument) << "another key";
}

TEST_F(HttpDoorTest, APlainDoorStaysPlain) {
  Open();
  EXPECT_CODE(door_->SetTls(Identity()), kFailedPrecondition);
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  EXPECT_THAT(client.Answer(), HasSubstr("echo:a"));
}

// Opening and closing

TEST_F(HttpDoorTest, ATakenPortAndABadAddressAreNamed) {
  Open();
  options_.port = port();
  EXPECT_REASON(HttpDoor::Open(io_, options_, nullptr, pool_, handler_), "ADDRESS_IN_USE");
  options_.address = "door.example.net";
  EXPECT_REFUSED(HttpDoor::Open(io_, options_, nullptr, pool_, handler_), "ADDRESS", "address");
}

TEST_F(HttpDoorTest, ClosingLetsRunningHandlersFinishAndTakesNobodyElse) {
  absl::Notification started, go;
  handler_ = [&](const HttpRequest&) {
    started.Notify();
    go.WaitForNotification();
    HttpResponse response;
    response.body = base::Secret("done");
    return response;
  };
  Open(&Identity());
  const int at = port();
  Client busy(at), idle(at);
  ASSERT_TRUE(busy.StartTls());
  ASSERT_TRUE(idle.StartTls());
  ASSERT_TRUE(busy.Send(Request("a")));
  started.WaitForNotification();
  std::thread closer([&] { door_->Close(absl::Seconds(20)); });
  EXPECT_TRUE(WaitUntil([&] { return !Client(at).connected(); }));
  EXPECT_FALSE(busy.Readable(absl::Milliseconds(50)));
  go.Notify();
  EXPECT_THAT(busy.Answer(), HasSubstr("Connection: close\r\n\r\ndone"));
  EXPECT_TRUE(busy.AtEnd());
  EXPECT_TRUE(idle.AtEnd());
  closer.join();
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

TEST_F(HttpDoorTest, ClosingLetsALongAnswerGoOutToTheEnd) {
  constexpr std::size_t kSize = 24 << 20;
  handler_ = [](const HttpRequest&) {
    HttpResponse response;
    response.body = base::Secret(std::string(kSize, 'x'));
    return response;
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  ASSERT_TRUE(
      client.Readable(absl::Seconds(20)));  // it has begun, and does not fit into the buffers between us
  std::thread closer([&] { door_->Close(absl::Seconds(20)); });
  EXPECT_GE(client.Answer().size(), kSize);
  closer.join();
}

TEST_F(HttpDoorTest, ClosingDoesNotWaitForEver) {
  absl::Notification started, go;
  handler_ = [&](const HttpRequest&) {
    started.Notify();
    go.WaitForNotification();
    return HttpResponse();
  };
  Open();
  Client client(port());
  ASSERT_TRUE(client.Send(Request("a")));
  started.WaitForNotification();
  door_->Close(absl::Milliseconds(50));
  EXPECT_TRUE(client.AtEnd());
  door_->Close(absl::Milliseconds(50));  // twice is once
  go.Notify();
  pool_.Stop();
}

TEST_F(HttpDoorTest, AClientThatLeavesDuringItsRequestHarmsNobody) {
  absl::Notification started, go;
  handler_ = [&](const HttpRequest& request) {
    if (request.body == "leaves") {
      started.Notify();
      go.WaitForNotification();
    }
    return HttpResponse();
  };
  Open();
  {
    Client leaver(port());
    ASSERT_TRUE(leaver.Send(Request("leaves")));
    started.WaitForNotification();
  }
  Client stays(port());
  ASSERT_TRUE(stays.Send(Request("stays", "Connection: close\r\n")));
  EXPECT_THAT(stays.Answer(), StartsWith("HTTP/1.1 200 OK"));
  go.Notify();
  EXPECT_TRUE(OpenConnectionsBecome(0));
}

}  // namespace
}  // namespace phonepki::provisioning::phone
