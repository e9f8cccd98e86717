#include "provisioning/secure_mode/pin.h"

#include <algorithm>
#include <set>

#include <absl/strings/str_cat.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/error.h"

namespace phonepki::provisioning {
namespace {

constexpr std::string_view kDigitsToDraw = "0123456789";
constexpr std::string_view kLettersToDraw = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
// Trivial PINs are rarer than one in ten: a source that gives only such is broken.
constexpr int kMaxDraws = 100;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool InAlphabet(char c, PinAlphabet alphabet) {
  if (IsDigit(c)) return true;
  return alphabet == PinAlphabet::kLetters && ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

// 9 and 0 are neighbours, as on a keypad.
bool Follows(char next, char c) {
  return next == c + 1 || (c == '9' && next == '0');
}

bool IsRun(std::string_view text) {
  const auto breaks_up = [](char a, char b) { return !Follows(b, a); };
  const auto breaks_down = [](char a, char b) { return !Follows(a, b); };
  return std::adjacent_find(text.begin(), text.end(), breaks_up) == text.end() ||
         std::adjacent_find(text.begin(), text.end(), breaks_down) == text.end();
}

// "7777", "1212", "123123", also with the last group cut short.
bool IsRepetition(std::string_view text) {
  for (std::size_t period = 1; period <= text.size() / 2; ++period) {
    if (std::equal(text.begin() + static_cast<std::ptrdiff_t>(period), text.end(), text.begin())) return true;
  }
  return false;
}

bool IsTrivial(std::string_view pin) {
  const std::string_view password = pin.substr(0, pin.size() - kTanLength);
  if (std::set<char>(pin.begin(), pin.end()).size() < 3) return true;
  if (IsRun(pin) || IsRepetition(pin)) return true;
  return password.size() > 3 && (IsRun(password) || IsRepetition(password));
}

// A character of `set`, each with the same chance: octets beyond the last whole multiple of its size are
// drawn again.
bool Draw(std::string_view set, const RandomSource& random, std::uint8_t* character) {
  const std::size_t usable = 256 - 256 % set.size();
  std::uint8_t octet = 0;
  for (int draws = 0; draws < kMaxDraws; ++draws) {
    if (!random(&octet, 1)) return false;
    if (octet >= usable) continue;
    *character = static_cast<std::uint8_t>(set[octet % set.size()]);
    base::WipeMemory(&octet, 1);
    return true;
  }
  return false;
}

absl::Status BadPolicy(const std::string& field, const std::string& member, const std::string& rule) {
  return base::InvalidField(absl::StrCat(field, ".", member), "PIN_POLICY_INVALID", rule);
}

}  // namespace

absl::StatusOr<PinAlphabet> ParsePinAlphabet(std::string_view name, const std::string& field) {
  if (name == "digits") return PinAlphabet::kDigits;
  if (name == "letters") return PinAlphabet::kLetters;
  return base::InvalidField(field, "PIN_ALPHABET_UNKNOWN", "must be digits or letters");
}

std::string PrintPinAlphabet(PinAlphabet alphabet) {
  return alphabet == PinAlphabet::kDigits ? "digits" : "letters";
}

absl::Status CheckPinPolicy(const PinPolicy& policy, const std::string& field) {
  if (policy.min_length < kShortestPin || policy.min_length > kLongestPin) {
    return BadPolicy(
        field, "min_length",
        absl::StrCat("must be ", kShortestPin, " to ", kLongestPin, ": three characters encrypt nothing"));
  }
  if (policy.max_length < policy.min_length || policy.max_length > kLongestPin) {
    return BadPolicy(field, "max_length", absl::StrCat("must be min_length to ", kLongestPin));
  }
  if (policy.generated_length < policy.min_length || policy.generated_length > policy.max_length) {
    return BadPolicy(field, "generated_length", "must be min_length to max_length");
  }
  return absl::OkStatus();
}

absl::Status CheckPin(const base::Secret& pin, const PinPolicy& policy, const std::string& field) {
  const std::string_view text = pin.view();
  const auto length = static_cast<int>(text.size());
  if (length < std::max(policy.min_length, kShortestPin) || length > policy.max_length) {
    return base::InvalidField(field, "PIN_LENGTH",
                              absl::StrCat("must have ", policy.min_length, " to ", policy.max_length,
                                           " characters, not ", length));
  }
  if (!std::all_of(text.begin(), text.end(), [&](char c) { return InAlphabet(c, policy.alphabet); })) {
    return base::InvalidField(field, "PIN_ALPHABET",
                              policy.alphabet == PinAlphabet::kDigits
                                  ? "must consist of the digits 0 to 9"
                                  : "must consist of the digits 0 to 9 and the letters A to Z and a to z");
  }
  if (IsTrivial(text)) {
    return base::InvalidField(
        field, "PIN_TRIVIAL",
        "must not be guessable: with or without its last three characters no run such as "
        "1234, no repeated group such as 1212, and at least three different characters");
  }
  return absl::OkStatus();
}

bool SystemRandom(std::uint8_t* octets, std::size_t size) {
  return RAND_priv_bytes(octets, static_cast<int>(size)) == 1;
}

absl::StatusOr<base::Secret> GeneratePin(const PinPolicy& policy, const RandomSource& random) {
  const std::string_view set = policy.alphabet == PinAlphabet::kDigits ? kDigitsToDraw : kLettersToDraw;
  for (int draws = 0; draws < kMaxDraws; ++draws) {
    base::Secret pin{base::Bytes(static_cast<std::size_t>(policy.generated_length))};
    for (std::size_t i = 0; i < pin.size(); ++i) {
      if (!Draw(set, random, pin.mutable_data() + i)) {
        return base::WithReason(absl::InternalError("making a PIN: the random source failed"),
                                "RANDOM_SOURCE");
      }
    }
    if (!IsTrivial(pin.view())) return pin;
  }
  return base::WithReason(absl::InternalError("making a PIN: the random source is not random"),
                          "RANDOM_SOURCE");
}

base::Secret PasswordOfPin(const base::Secret& pin) {
  if (pin.size() <= kTanLength) return {};
  return base::Secret(pin.data(), pin.size() - kTanLength);
}

bool TanMatches(const base::Secret& pin, std::string_view tan) {
  if (pin.size() <= kTanLength || tan.size() != kTanLength) return false;
  return CRYPTO_memcmp(pin.data() + pin.size() - kTanLength, tan.data(), kTanLength) == 0;
}

}  // namespace phonepki::provisioning
