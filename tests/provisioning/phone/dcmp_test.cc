#include "provisioning/phone/dcmp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/provisioning/phone/door_client.h"
#include "tests/testing/status.h"

namespace phonepki::provisioning::phone {
namespace {

using ::testing::StartsWith;

HttpRequest Get(const std::string& target) {
  return {"GET", target, "", "", "198.51.100.7"};
}

TEST(DcmpTest, WaitingWorkIs202AndNothingIs200) {
  for (const bool waits : {false, true}) {
    std::string asked;
    const auto answer = AnswerPoll(Get("/dcmp/contact-me?device-id=00:1A:E8:00:00:01"), {},
                                   [&](const std::string& mac, const std::string& address) {
                                     asked = mac + " at " + address;
                                     return waits;
                                   });
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, waits ? 202 : 200);
    EXPECT_TRUE(answer->close);
    EXPECT_TRUE(answer->body.empty());
    EXPECT_EQ(asked, "00:1A:E8:00:00:01 at 198.51.100.7");
  }
}

TEST(DcmpTest, TheDeviceIsFoundHoweverItIsWritten) {
  const DcmpOptions options;
  for (const char* query : {"device-id=00:1A:E8:AB:CD:01", "device-id=00%3A1A%3aE8%3AAB%3ACD%3A01",
                            "device-id=00:1a:e8:ab:cd:01", "x=1&device-id=00:1A:E8:AB:CD:01&y",
                            "&&device-id=00:1A:E8:AB:CD:01&", "device%2Did=00:1A:E8:AB:CD:01"}) {
    const auto mac = ParsePoll(Get(std::string("/dcmp/contact-me?") + query), options);
    ASSERT_OK(mac) << query;
    EXPECT_EQ(*mac, "00:1A:E8:AB:CD:01") << query;
  }
  const HttpRequest post{"POST", "/dcmp/contact-me", "", "device-id=00%3A1A%3AE8%3AAB%3ACD%3A01", ""};
  EXPECT_OK(ParsePoll(post, options));
}

TEST(DcmpTest, APollThatNamesNoDeviceIs400AndNobodyIsAsked) {
  for (const char* query :
       {"", "?", "?device-id", "?device-id=", "?device-id=phone", "?Device-id=00:1A:E8:00:00:01",
        "?device-id=00:1A:E8:00:00:01&device-id=00:1A:E8:00:00:02", "?device-id=%", "?device-id=%3",
        "?device-id=%zz", "?device-id=00:1A:E8:00:00:01%00", "?%00=%00", "?device-id=00:1A:E8:00:00:01?x"}) {
    const auto answer = AnswerPoll(Get(std::string("/dcmp/contact-me") + query), {},
                                   [&](const std::string&, const std::string&) {
                                     ADD_FAILURE() << query;
                                     return true;
                                   });
    ASSERT_TRUE(answer) << query;
    EXPECT_EQ(answer->status, 400) << query;
  }
  EXPECT_CODE(ParsePoll({"GET", "/", "", "device-id=00:1A:E8:00:00:01", ""}, {}), kInvalidArgument)
      << "a GET has no form";
}

TEST(DcmpTest, OtherPathsAreOthersBusiness) {
  const auto never = [](const std::string&, const std::string&) { return true; };
  for (const char* target : {"", "/", "/dcmp", "/dcmp/contact-me/", "/dcmp/contact-meX", "/crl/1.crl",
                             "/x?/dcmp/contact-me", "?device-id=00:1A:E8:00:00:01"}) {
    EXPECT_FALSE(AnswerPoll(Get(target), {}, never)) << target;
  }
}

TEST(DcmpTest, NamesAndStatusesMayBeChanged) {
  DcmpOptions options;
  options.path = "/poll";
  options.device_parameter = "mac";
  options.nothing_status = 204;
  options.work_status = 200;
  const auto ask = [&](bool waits) {
    return AnswerPoll(Get("/poll?mac=00:1A:E8:00:00:01"), options,
                      [&](const std::string&, const std::string&) { return waits; });
  };
  EXPECT_EQ(ask(false)->status, 204);
  EXPECT_EQ(ask(true)->status, 200);
  EXPECT_FALSE(AnswerPoll(Get("/dcmp/contact-me"), options, {}));
}

TEST(DcmpTest, OverARealDoor) {
  IoRuntime io(1);
  base::ThreadPool pool(1, 4);
  DoorOptions options;
  options.name = "polling";
  options.address = "127.0.0.1";
  const auto door = HttpDoor::Open(io, options, nullptr, pool, [](const HttpRequest& request) {
    auto answer = AnswerPoll(request, {}, [](const std::string& mac, const std::string& address) {
      return mac == "00:1A:E8:00:00:01" && address == "127.0.0.3";
    });
    if (answer) return *std::move(answer);
    HttpResponse other;
    other.status = 404;
    return other;
  });
  ASSERT_OK(door);
  const auto answer_to = [&](const std::string& target) {
    Client phone((*door)->port(), "127.0.0.3");
    EXPECT_TRUE(phone.Send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"));
    std::string answer = phone.Answer();
    EXPECT_TRUE(phone.AtEnd());
    return answer;
  };
  EXPECT_EQ(answer_to("/dcmp/contact-me?device-id=00:1A:E8:00:00:01"),
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer_to("/dcmp/contact-me?device-id=00:1A:E8:00:00:02"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer_to("/dcmp/contact-me?device-id="), StartsWith("HTTP/1.1 400 "));
}

}  // namespace
}  // namespace phonepki::provisioning::phone
