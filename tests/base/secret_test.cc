#include "base/secret.h"

#include <optional>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "tests/testing/heap_watch.h"

namespace phonepki::base {
namespace {

using phonepki::testing::HeapWatch;

// Longer than what a std::string holds in place.
constexpr char kOctets[] = "sixty-four octets of key material that nobody else may ever see";

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(std::is_nothrow_move_constructible_v<Secret> && std::is_nothrow_move_assignable_v<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string> &&
              !std::is_convertible_v<Secret, std::string_view>);

TEST(HeapWatchTest, SeesWhatIsNotWiped) {
  auto text = std::make_unique<std::string>(kOctets);
  const HeapWatch watch(kOctets);
  text.reset();
  EXPECT_GE(watch.leaks(), 1);
}

TEST(SecretTest, HoldsWhatItWasGiven) {
  EXPECT_EQ(Secret(kOctets).view(), kOctets);
  EXPECT_EQ(Secret(Bytes{1, 0, 2}).view(), std::string_view("\1\0\2", 3));
  EXPECT_TRUE(Secret().empty());
  EXPECT_TRUE(Secret(std::string_view()).empty());
}

TEST(SecretTest, IsWipedWhenItDies) {
  std::optional<Secret> secret(std::in_place, kOctets);
  const HeapWatch watch(kOctets);
  secret.reset();
  EXPECT_EQ(watch.leaks(), 0);
}

TEST(SecretTest, IsWipedWhenAnotherTakesItsPlace) {
  Secret secret{std::string_view(kOctets)};
  const HeapWatch watch(kOctets);
  secret = Secret("short");
  EXPECT_EQ(watch.leaks(), 0);
  EXPECT_EQ(secret.view(), "short");
}

TEST(SecretTest, MovesWithoutLeavingACopyBehind) {
  const HeapWatch watch(kOctets);
  {
    Secret first{std::string_view(kOctets)};
    Secret second(std::move(first));
    EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
    Secret third;
    third = std::move(second);
    EXPECT_EQ(third.view(), kOctets);
  }
  EXPECT_EQ(watch.leaks(), 0);
}

TEST(SecretTest, TakesOctetsOverWithoutACopy) {
  const std::string_view text = kOctets;
  Bytes octets(text.begin(), text.end());
  const std::uint8_t* const place = octets.data();
  const HeapWatch watch(kOctets);
  {
    const Secret secret(std::move(octets));
    EXPECT_EQ(secret.data(), place);
    EXPECT_TRUE(octets.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  }
  EXPECT_EQ(watch.leaks(), 0);
}

TEST(SecretTest, SurvivesBeingAssignedToItself) {
  Secret secret{std::string_view(kOctets)};
  Secret& same = secret;
  secret = std::move(same);
  EXPECT_EQ(secret.view(), kOctets);
}

TEST(SecretTest, ACopyIsAskedForByName) {
  Secret copy;
  {
    const Secret secret{std::string_view(kOctets)};
    copy = secret.Copy();
  }
  EXPECT_EQ(copy.view(), kOctets);
}

TEST(SecretTest, WipeMemoryWipes) {
  std::string text = kOctets;
  WipeMemory(text.data(), text.size());
  EXPECT_EQ(text, std::string(text.size(), '\0'));
  WipeMemory(nullptr, 0);
}

}  // namespace
}  // namespace phonepki::base
