#include "provisioning/phone/outgoing.h"

#include <gtest/gtest.h>

#include "tests/testing/status.h"

namespace phonepki::provisioning::phone {
namespace {

TEST(ParseContactMeUriTest, TakesPortAndPathAndNeverTheHost) {
  const auto target = ParseContactMeUri("http://192.0.2.66:8086/contact_dls.html/ContactDLS?x=1", "10.0.0.1");
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "10.0.0.1");
  EXPECT_EQ(target->port, 8086);
  EXPECT_EQ(target->path, "/contact_dls.html/ContactDLS?x=1");
}

TEST(ParseContactMeUriTest, WithoutOneThePhonesDefaultsHold) {
  const auto target = ParseContactMeUri("", "10.0.0.1");
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "10.0.0.1");
  EXPECT_EQ(target->port, 8085);
  EXPECT_EQ(target->path, "/contact_dls.html/ContactDLS");
}

TEST(ParseContactMeUriTest, WithoutAPortItIsThatOfHttp) {
  EXPECT_EQ(ParseContactMeUri("http://phone/x", "10.0.0.1")->port, 80);
  EXPECT_EQ(ParseContactMeUri("http://[2001:db8::1]/x", "10.0.0.1")->port, 80);
  EXPECT_EQ(ParseContactMeUri("http://[2001:db8::1]:8085/x", "10.0.0.1")->port, 8085);
  EXPECT_EQ(ParseContactMeUri("http://phone:1/x:99999", "10.0.0.1")->port, 1);
}

TEST(ParseContactMeUriTest, WithoutAPathTheUsualOneIsKept) {
  EXPECT_EQ(ParseContactMeUri("http://phone:8085", "10.0.0.1")->path, "/contact_dls.html/ContactDLS");
}

TEST(ParseContactMeUriTest, RefusesWhatCouldTurnIntoAnotherRequest) {
  for (const std::string& uri :
       {std::string("https://phone/x"), std::string("ftp://phone/x"), std::string("phone:8085/x"),
        std::string("http://p:0/x"), std::string("http://p:65536/x"), std::string("http://p:80x/x"),
        std::string("http://p:/x"), std::string("http://p/x HTTP/1.1\r\nX: y"), std::string("http://p/a b"),
        std::string("http://p/\x01"), std::string("http://p/\xc3\xa4"), std::string("http://p/\0x", 11),
        "http://p/" + std::string(255, 'x')}) {
    EXPECT_REASON(ParseContactMeUri(uri, "10.0.0.1"), "CONTACT_ME_URI") << uri;
  }
}

}  // namespace
}  // namespace phonepki::provisioning::phone
