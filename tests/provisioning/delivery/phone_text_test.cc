#include "provisioning/delivery/phone_text.h"

#include <gtest/gtest.h>

namespace phonepki::provisioning {
namespace {

TEST(PhoneText, ClipCutsBetweenCharacters) {
  EXPECT_EQ(Clip("Büro", 10), "Büro");
  EXPECT_EQ(Clip("Büro", 3), "Bü");
  EXPECT_EQ(Clip("Büro", 2), "B");
  EXPECT_EQ(Clip("\U0001f4de", 3), "");
  EXPECT_EQ(Clip("", 0), "");
}

TEST(PhoneText, ClipOfContinuationsOnlyEnds) {
  EXPECT_EQ(Clip("\x80\x80\x80", 2), "");
}

TEST(PhoneText, WhatIsNoUtf8BecomesAReplacement) {
  std::string text = "B\xfcro \xc3\xbc";
  MakeUtf8(text);
  EXPECT_EQ(text, "B\uFFFDro ü");
  std::string truncated = "a\xe2\x82";
  MakeUtf8(truncated);
  EXPECT_EQ(truncated.substr(0, 4), "a\uFFFD");
}

}  // namespace
}  // namespace phonepki::provisioning
