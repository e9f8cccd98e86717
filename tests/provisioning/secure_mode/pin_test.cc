// B-065, B-066: PINs, and the TAN at their end.
#include "provisioning/secure_mode/pin.h"

#include <array>
#include <map>
#include <set>

#include <absl/strings/match.h>
#include <gtest/gtest.h>

#include "tests/testing/status.h"

namespace phonepki::provisioning {
namespace {

PinPolicy Letters() {
  PinPolicy policy;
  policy.alphabet = PinAlphabet::kLetters;
  return policy;
}

absl::Status Check(const std::string& pin, const PinPolicy& policy = {}) {
  return CheckPin(base::Secret(pin), policy, "default_pin");
}

TEST(PinTest, B065AcceptsWhatThePolicyAllows) {
  for (const char* pin : {"48151623", "4815162342", "1029384756574839", "90210773"})
    EXPECT_OK(Check(pin)) << pin;
  for (const char* pin : {"Rudi4711", "xkcdBdkf", "A1b2C3d4"}) EXPECT_OK(Check(pin, Letters())) << pin;
}

TEST(PinTest, B065RefusalsNameFieldAndRuleButNotThePin) {
  const struct {
    const char* pin;
    const char* reason;
    const char* text;
  } cases[] = {
      {"", "PIN_LENGTH", "8 to 16 characters, not 0"},
      {"4815162", "PIN_LENGTH", "8 to 16 characters, not 7"},
      {"48151623423141592", "PIN_LENGTH", "not 17"},
      {"4815A623", "PIN_ALPHABET", "digits 0 to 9"},
      {"4815 623", "PIN_ALPHABET", "digits 0 to 9"},
      {"4815162\xef\xbc\x93", "PIN_ALPHABET", "digits 0 to 9"},  // a wide digit, three octets
      {"00000000", "PIN_TRIVIAL", "guessable"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.pin);
    const absl::Status refused = Check(c.pin);
    EXPECT_REFUSED(refused, c.reason, "default_pin");
    EXPECT_TRUE(absl::StrContains(refused.message(), c.text)) << refused;
    if (*c.pin != '\0') {
      EXPECT_FALSE(absl::StrContains(refused.ToString(), c.pin)) << refused;
    }
  }
  EXPECT_REFUSED(Check("Größe4711", Letters()), "PIN_ALPHABET", "default_pin");
  EXPECT_REFUSED(Check(std::string("48151\0"
                                   "23",
                                   8)),
                 "PIN_ALPHABET", "default_pin");
}

TEST(PinTest, RefusesTrivialPins) {
  for (const char* pin : {
           "00000000",  // one character
           "12345678",  // runs
           "87654321",
           "67890123",  // past the end of the keypad
           "32109876",
           "12121212",  // groups
           "12312312", "12341234",
           "11112222",  // two characters
           "10000001",
           "12345907",  // what encrypts is a run
           "77777381",
           "97979381",  // what encrypts is a repeated group
       }) {
    EXPECT_REFUSED(Check(pin), "PIN_TRIVIAL", "default_pin") << pin;
  }
  for (const char* pin : {"abcdefgh", "HGFEDCBA", "abcabcabc", "aaaaaaaa"}) {
    EXPECT_REFUSED(Check(pin, Letters()), "PIN_TRIVIAL", "default_pin") << pin;
  }
  PinPolicy six;
  six.min_length = six.generated_length = 6;
  for (const char* pin : {"000000", "123456", "654321", "121212", "123123"}) {
    EXPECT_REFUSED(Check(pin, six), "PIN_TRIVIAL", "default_pin") << pin;
  }
  EXPECT_OK(Check("123819", six));  // three characters alone prove nothing
}

TEST(PinTest, GeneratedPinsFollowThePolicy) {
  for (const PinAlphabet alphabet : {PinAlphabet::kDigits, PinAlphabet::kLetters}) {
    for (const int length : {6, 8, 16, 32}) {
      PinPolicy policy;
      policy.min_length = policy.generated_length = length;
      policy.max_length = kLongestPin;
      policy.alphabet = alphabet;
      ASSERT_OK(CheckPinPolicy(policy, "pin"));
      std::set<std::string> seen;
      for (int i = 0; i < 500; ++i) {
        const auto pin = GeneratePin(policy, SystemRandom);
        ASSERT_OK(pin);
        EXPECT_OK(CheckPin(*pin, policy, "pin"));
        EXPECT_EQ(pin->size(), static_cast<std::size_t>(length));
        EXPECT_EQ(pin->view().find_first_of(alphabet == PinAlphabet::kLetters ? "01IOabcxyz" : "abcxyzABC"),
                  std::string_view::npos);
        seen.emplace(pin->view());
      }
      EXPECT_GE(seen.size(), length > 6 ? 499u : 490u);
    }
  }
}

// With octets taken modulo ten, 0 to 5 would come up 4 % more often than 6 to 9: 1,600 of 400,000 more each,
// where the deviation of chance is 190.
TEST(PinTest, EveryDigitIsEquallyLikely) {
  std::map<char, int> count;
  constexpr int kPins = 50'000;
  for (int i = 0; i < kPins; ++i) {
    const auto pin = GeneratePin({}, SystemRandom);
    ASSERT_OK(pin);
    for (const char c : pin->view()) ++count[c];
  }
  ASSERT_EQ(count.size(), 10u);
  for (const auto& [digit, times] : count) EXPECT_NEAR(times, kPins * 8 / 10, 1200) << digit;
}

TEST(PinTest, OctetsBeyondTheLastMultipleAreDrawnAgain) {
  // 250 to 255 would be the digits 0 to 5 once more.
  const std::array<std::uint8_t, 14> octets{250, 4, 251, 8, 1, 255, 5, 249, 6, 254, 2, 3, 253, 0};
  std::size_t next = 0;
  const auto pin = GeneratePin({}, [&](std::uint8_t* out, std::size_t size) {
    EXPECT_EQ(size, 1u);
    *out = octets.at(next++);
    return true;
  });
  ASSERT_OK(pin);
  EXPECT_EQ(pin->view(), "48159623");
}

TEST(PinTest, TrivialPinsAreDrawnAgain) {
  int draws = 0;
  const auto pin = GeneratePin({}, [&](std::uint8_t* out, std::size_t) {
    constexpr std::string_view kDrawn = "1234567848151623";
    *out = static_cast<std::uint8_t>(kDrawn.at(static_cast<std::size_t>(draws++)) - '0');
    return true;
  });
  ASSERT_OK(pin);
  EXPECT_EQ(pin->view(), "48151623");
}

TEST(PinTest, ABrokenRandomSourceGivesNoPin) {
  EXPECT_REASON(GeneratePin({}, [](std::uint8_t*, std::size_t) { return false; }), "RANDOM_SOURCE");
  for (const int stuck : {0, 7, 255}) {
    EXPECT_REASON(GeneratePin({},
                              [stuck](std::uint8_t* out, std::size_t) {
                                *out = static_cast<std::uint8_t>(stuck);
                                return true;
                              }),
                  "RANDOM_SOURCE");
  }
}

TEST(PinTest, PoliciesThatCannotWorkAreRefused) {
  EXPECT_OK(CheckPinPolicy({}, "pin"));
  const auto refused = [](int min, int max, int generated) {
    PinPolicy policy;
    policy.min_length = min;
    policy.max_length = max;
    policy.generated_length = generated;
    return CheckPinPolicy(policy, "pin");
  };
  EXPECT_REFUSED(refused(5, 16, 8), "PIN_POLICY_INVALID", "pin.min_length");
  EXPECT_REFUSED(refused(33, 33, 33), "PIN_POLICY_INVALID", "pin.min_length");
  EXPECT_REFUSED(refused(8, 7, 8), "PIN_POLICY_INVALID", "pin.max_length");
  EXPECT_REFUSED(refused(8, 33, 8), "PIN_POLICY_INVALID", "pin.max_length");
  EXPECT_REFUSED(refused(8, 16, 7), "PIN_POLICY_INVALID", "pin.generated_length");
  EXPECT_REFUSED(refused(8, 16, 17), "PIN_POLICY_INVALID", "pin.generated_length");
  EXPECT_EQ(*ParsePinAlphabet("letters", "x"), PinAlphabet::kLetters);
  EXPECT_EQ(PrintPinAlphabet(PinAlphabet::kDigits), "digits");
  EXPECT_REFUSED(ParsePinAlphabet("hex", "pin.alphabet"), "PIN_ALPHABET_UNKNOWN", "pin.alphabet");
}

TEST(PinTest, B066ThePasswordIsThePinWithoutItsTan) {
  EXPECT_EQ(PasswordOfPin(base::Secret("48151623")).view(), "48151");
  EXPECT_EQ(PasswordOfPin(base::Secret("4815")).view(), "4");
  EXPECT_TRUE(PasswordOfPin(base::Secret("481")).empty());
  EXPECT_TRUE(PasswordOfPin(base::Secret("")).empty());
}

TEST(PinTest, B066TheTanIsTheLastThreeCharacters) {
  const base::Secret pin("48151623");
  EXPECT_TRUE(TanMatches(pin, "623"));
  for (const char* tan : {"", "6", "62", "6230", "624", "723", "633", "481", "1623", "48151623", "62\n"}) {
    EXPECT_FALSE(TanMatches(pin, tan)) << tan;
  }
  EXPECT_FALSE(TanMatches(pin, std::string_view("62\0", 3)));
  const base::Secret letters("Rudi4aBc");
  EXPECT_TRUE(TanMatches(letters, "aBc"));
  EXPECT_FALSE(TanMatches(letters, "ABC"));
  // Without a password before it there is no TAN.
  EXPECT_FALSE(TanMatches(base::Secret("623"), "623"));
  EXPECT_FALSE(TanMatches(base::Secret(""), ""));
}

}  // namespace
}  // namespace phonepki::provisioning
