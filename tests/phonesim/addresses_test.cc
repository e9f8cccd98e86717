#include "phonesim/addresses.h"

#include <set>

#include <gtest/gtest.h>

namespace phonesim {
namespace {

TEST(AddressesTest, CountUpFromTheFirst) {
  EXPECT_EQ(AddressOf("127.1.0.1", 0), "127.1.0.1");
  EXPECT_EQ(AddressOf("127.1.0.1", 9), "127.1.0.10");
  EXPECT_EQ(AddressOf("127.1.0.20", 5), "127.1.0.25");
}

TEST(AddressesTest, SkipTheLastOctets0And255) {
  EXPECT_EQ(AddressOf("127.1.0.1", 253), "127.1.0.254");
  EXPECT_EQ(AddressOf("127.1.0.1", 254), "127.1.1.1");
  EXPECT_EQ(AddressOf("127.1.0.200", 55), "127.1.1.1");
  EXPECT_EQ(AddressOf("127.1.255.1", 254), "127.2.0.1");
}

TEST(AddressesTest, AreDifferentForEveryPhoneOfALargeFleet) {
  std::set<std::string> seen;
  for (int n = 0; n < 60000; ++n) seen.insert(AddressOf("127.1.0.1", n));
  EXPECT_EQ(seen.size(), 60000u);
}

TEST(AddressesTest, OfIPv6CountOnThroughAllGroups) {
  EXPECT_EQ(AddressOf("fd00::1", 0), "fd00::1");
  EXPECT_EQ(AddressOf("fd00::1", 254), "fd00::ff");
  EXPECT_EQ(AddressOf("fd00::ffff", 1), "fd00::1:0");
  EXPECT_EQ(AddressOf("fd00:0:0:0:ffff:ffff:ffff:ffff", 60000), "fd00:0:0:1::ea5f");
}

TEST(AddressesTest, StandInBracketsInAUriWhenTheyAreIPv6) {
  EXPECT_EQ(InUri("127.1.0.1"), "127.1.0.1");
  EXPECT_EQ(InUri("fd00::1"), "[fd00::1]");
}

TEST(ServersTest, AreAddressAndPort) {
  EXPECT_EQ(ParseServer("127.0.0.1:18443"), std::make_pair(std::string("127.0.0.1"), 18443));
  EXPECT_EQ(ParseServer("[fd00::1]:443"), std::make_pair(std::string("fd00::1"), 443));
  for (const char* text : {"127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:1x", "127.0.0.1:0",
                           "127.0.0.1:65536", "fd00::1:443", "[fd00::1]", "[127.0.0.1]:443", "dls:443", ""}) {
    EXPECT_THROW(ParseServer(text), std::invalid_argument) << text;
  }
}

TEST(MacsTest, CountUpInUpperCaseWithColons) {
  EXPECT_EQ(MacOf("00:1a:e8:00:00:01", 0), "00:1A:E8:00:00:01");
  EXPECT_EQ(MacOf("00:1A:E8:00:00:FF", 1), "00:1A:E8:00:01:00");
  EXPECT_EQ(MacOf("001AE800FFFF", 1), "00:1A:E8:01:00:00");
}

}  // namespace
}  // namespace phonesim
