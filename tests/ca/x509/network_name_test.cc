#include "ca/x509/network_name.h"

#include <gtest/gtest.h>

namespace phonepki::ca {
namespace {

TEST(NetworkNameTest, AnIPv4AddressInTheClothesOfIPv6IsAnIPv4Address) {
  EXPECT_EQ(PrintIp(UnmapIp(*ParseIp("::ffff:192.0.2.1"))), "192.0.2.1");
  for (const char* text : {"192.0.2.1", "2001:db8::1", "::1", "::192.0.2.1", "64:ff9b::c000:201"}) {
    EXPECT_EQ(UnmapIp(*ParseIp(text)), *ParseIp(text)) << text;
  }
}

TEST(NetworkNameTest, AnAddressIsTheSameHoweverItIsWritten) {
  EXPECT_TRUE(IsSameIp("192.0.2.1", "192.0.2.1"));
  EXPECT_TRUE(IsSameIp("192.0.2.1", "::ffff:192.0.2.1"));
  EXPECT_TRUE(IsSameIp("::ffff:c000:0201", "192.0.2.1"));
  EXPECT_TRUE(IsSameIp("2001:DB8:0:0:0:0:0:1", "2001:db8::1"));
  EXPECT_TRUE(IsSameIp("::0.1.0.2", "::1:2"));
  EXPECT_FALSE(IsSameIp("192.0.2.1", "192.0.2.2"));
  EXPECT_FALSE(IsSameIp("192.0.2.1", "::192.0.2.1"));
  EXPECT_FALSE(IsSameIp("fd00::1", "fd00::2"));
  EXPECT_FALSE(IsSameIp("", ""));
  EXPECT_FALSE(IsSameIp("phone", "phone"));
}

}  // namespace
}  // namespace phonepki::ca
