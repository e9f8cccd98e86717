// The security PIN that a person types at a phone on its way into secure mode (B-065, B-066).
//
// Its last three characters, the TAN, encrypt nothing: the phone tells them on the secure port, and only who
// had the whole PIN can. What stands before them is the password of secure-mode-data, so that guessing the
// password offline, which is easy for a few digits, does not give the TAN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/secret.h"

namespace phonepki::provisioning {

inline constexpr int kTanLength = 3;
inline constexpr int kShortestPin = 6;
inline constexpr int kLongestPin = 32;

enum class PinAlphabet {
  kDigits,   // every phone has the keys
  kLetters,  // digits and letters; upper and lower case are different characters
};

// "digits", "letters". kInvalidArgument on `field`, reason PIN_ALPHABET_UNKNOWN.
absl::StatusOr<PinAlphabet> ParsePinAlphabet(std::string_view name, const std::string& field);
std::string PrintPinAlphabet(PinAlphabet alphabet);

struct PinPolicy {
  int min_length = 8;
  int max_length = 16;
  int generated_length = 8;
  PinAlphabet alphabet = PinAlphabet::kDigits;
};

// kInvalidArgument, reason PIN_POLICY_INVALID, on `field` and the member: "pin.min_length".
absl::Status CheckPinPolicy(const PinPolicy& policy, const std::string& field);

// Of a PIN that a person chose. kInvalidArgument on `field`: PIN_LENGTH, PIN_ALPHABET, PIN_TRIVIAL (one
// character, a run such as 1234, a repeated group such as 1212; in the whole PIN or in what encrypts). The
// message never quotes the PIN.
absl::Status CheckPin(const base::Secret& pin, const PinPolicy& policy, const std::string& field);

// Fills the buffer with unpredictable octets; false if it cannot.
using RandomSource = std::function<bool(std::uint8_t* octets, std::size_t size)>;
bool SystemRandom(std::uint8_t* octets, std::size_t size);

// Every PIN of the policy's generated length that CheckPin() accepts is equally likely; with letters,
// characters that look alike on paper (0 O, 1 I, and lower case) are left out. The policy must pass
// CheckPinPolicy(). kInternal: the random source failed, or does not stop giving trivial PINs.
absl::StatusOr<base::Secret> GeneratePin(const PinPolicy& policy, const RandomSource& random);

// All but the last three characters; empty if there are no more. What a SecureModeDataCodec encrypts with.
base::Secret PasswordOfPin(const base::Secret& pin);

// Is `tan`, as the phone told it, the end of `pin`? How long it takes does not depend on where they differ.
// False for a PIN that is too short to have one.
bool TanMatches(const base::Secret& pin, std::string_view tan);

}  // namespace phonepki::provisioning
