#include "provisioning/delivery/session_cookie.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phonepki::provisioning {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SessionCookie, ComesBackAsPhonesSendIt) {
  const std::string cookie = NewCookie();
  EXPECT_EQ(cookie.size(), 32u);
  EXPECT_NE(cookie, NewCookie());
  EXPECT_THAT(ReadSessionCookies("JSESSIONID=" + cookie), ElementsAre(cookie));
  EXPECT_THAT(ReadSessionCookies(PrintSetCookie(cookie)), ElementsAre(cookie));
  EXPECT_THAT(ReadSessionCookies("$Version=1; JSESSIONID=A, JSESSIONID=B"), ElementsAre("A", "B"));
}

TEST(SessionCookie, OtherCookiesAreNotOurs) {
  EXPECT_THAT(ReadSessionCookies(""), IsEmpty());
  EXPECT_THAT(ReadSessionCookies("JSESSIONID="), IsEmpty());
  EXPECT_THAT(ReadSessionCookies("XJSESSIONID=A; JSESSION=B"), IsEmpty());
  EXPECT_THAT(ReadSessionCookies("JSESSIONID=" + std::string(129, 'A')), IsEmpty());
}

}  // namespace
}  // namespace phonepki::provisioning
