#include "base/text.h"

#include <gtest/gtest.h>

namespace phonepki::base {
namespace {

TEST(TextTest, CrossesInBothDirectionsWithoutACopy) {
  const std::string_view text("a\0b", 3);
  EXPECT_EQ(ToAbsl(text).size(), 3u);
  EXPECT_EQ(ToAbsl(text).data(), text.data());
  EXPECT_EQ(ToStd(ToAbsl(text)), text);
  EXPECT_TRUE(ToStd(ToAbsl({})).empty());
}

}  // namespace
}  // namespace phonepki::base
