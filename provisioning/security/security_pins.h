// Security PINs at rest (B-065, B-066): the default PIN of the server and individual ones of phones. Wrapped
// by the keystore, seen by people only through the calls below, each of which is audited.
//
// The default PIN is shared and may be looked up at any time; it stays until it is rotated. An individual PIN
// is shown once, on the screen or on a printed list, and expires.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/secret.h"
#include "ca/keystore/keystore.h"
#include "db/database.h"
#include "db/secure_mode_repository.h"
#include "provisioning/secure_mode/pin.h"

namespace phonepki::provisioning {

struct PinOptions {
  PinPolicy policy;
  absl::Duration lifetime = absl::Hours(24 * 30);  // of individual PINs
  RandomSource random = SystemRandom;
};

struct ShownPin {
  base::Secret pin;
  std::optional<absl::Time> expires_at;  // empty: does not
};

struct PrintedPins {
  base::Secret html;
  std::int64_t printed = 0;
  std::int64_t already_viewed = 0;  // phones whose PIN somebody has seen before: it is not on the list
};

// More phones than this on one list are refused.
inline constexpr int kMaxPrintedPins = 10'000;

// Thread-safe.
class SecurityPins {
 public:
  SecurityPins(db::Database& database, const ca::Keystore& keystore, PinOptions options)
      : database_(database), keystore_(keystore), options_(std::move(options)) {}

  // For the dialogue with a phone, in its transaction; no device: the default PIN. Made when there is none,
  // or only an expired one.
  absl::StatusOr<base::Secret> ForEnrolment(db::Tx& tx, std::optional<std::int64_t> device_id);
  // What the phone's TAN is compared with; nothing when there is none or it has expired.
  absl::StatusOr<std::optional<base::Secret>> ForTan(db::Tx& tx, std::optional<std::int64_t> device_id);

  // For people.
  absl::StatusOr<ShownPin> ViewDefault(const std::string& actor);
  // `chosen` empty: generated. kInvalidArgument on "pin": CheckPin().
  absl::StatusOr<ShownPin> RotateDefault(const base::Secret& chosen, const std::string& actor);
  // Made when there is none. kFailedPrecondition PIN_ALREADY_VIEWED. kNotFound on "device".
  absl::StatusOr<ShownPin> ViewDevice(const std::string& mac, const std::string& actor);
  // Replaces the PIN; the answer is its one view. A phone that awaits the former one must be enrolled again.
  absl::StatusOr<ShownPin> RegenerateDevice(const std::string& mac, const base::Secret& chosen,
                                            const std::string& actor);
  // One row for each phone of the location that is not in secure mode. kFailedPrecondition TOO_MANY_DEVICES.
  absl::StatusOr<PrintedPins> Print(std::int64_t location_id, absl::Time now, const std::string& actor);

  const PinOptions& options() const { return options_; }

 private:
  // Every device has a PIN that is not expired afterwards; in the order of the device ids.
  absl::StatusOr<std::vector<db::SecurityPinRecord>> Ensure(db::Tx& tx,
                                                            const std::vector<std::int64_t>& devices);
  absl::StatusOr<db::SecurityPinRecord> EnsureDefault(db::Tx& tx);
  absl::StatusOr<base::Bytes> NewWrapped(std::optional<std::int64_t> device_id) const;
  absl::StatusOr<base::Secret> Make(const base::Secret& chosen) const;
  absl::StatusOr<base::Secret> Open(const db::SecurityPinRecord& record) const;

  db::Database& database_;
  const ca::Keystore& keystore_;
  const PinOptions options_;
};

}  // namespace phonepki::provisioning
