#include "cli/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phonepki::cli {
namespace {

TEST(ResourceName, AcceptsIdNameAndFullName) {
  EXPECT_EQ(ResourceName("internalCas", "7"), "internalCas/7");
  EXPECT_EQ(ResourceName("internalCas", "My CA"), "internalCas/My CA");
  EXPECT_EQ(ResourceName("internalCas", "internalCas/7"), "internalCas/7");
  EXPECT_EQ(ResourceName("internalCas", ""), "");
}

TEST(DeviceName, AcceptsEveryCommonNotation) {
  for (const char* text : {"001ae8000001", "00:1a:e8:00:00:01", "00-1A-E8-00-00-01", "001a.e800.0001",
                           "devices/00:1A:E8:00:00:01"}) {
    EXPECT_EQ(*DeviceName(text), "devices/00:1A:E8:00:00:01") << text;
  }
  for (const char* text : {"001ae80000", "00:1A:E8:00:00:01:02", "phone"})
    EXPECT_FALSE(DeviceName(text).ok()) << text;
}

TEST(MacPrefix, GetsColons) {
  EXPECT_EQ(*MacPrefix("001ae8"), "00:1A:E8");
  EXPECT_EQ(*MacPrefix("00:1"), "00:1");
  EXPECT_EQ(*MacPrefix(""), "");
}

TEST(ParseProperties, OnlyTheFirstEqualsSignSeparates) {
  google::protobuf::RepeatedPtrField<common::v1::Property> properties;
  ASSERT_TRUE(
      ParseProperties({"internal.x509name.template=C=US, CN=?", "empty="}, "property", &properties).ok());
  EXPECT_EQ(properties[0].value(), "C=US, CN=?");
  EXPECT_EQ(properties[1].value(), "");
  EXPECT_FALSE(ParseProperties({"novalue"}, "property", &properties).ok());
  EXPECT_FALSE(ParseProperties({"=x"}, "property", &properties).ok());
}

TEST(NewRequestId, IsAVersion4Uuid) {
  EXPECT_THAT(NewRequestId(),
              ::testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_NE(NewRequestId(), NewRequestId());
}

}  // namespace
}  // namespace phonepki::cli
