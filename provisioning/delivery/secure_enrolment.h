// What brings a phone into secure mode and what proves that it is there (wpi.md 6; B-060 to B-069).
//
//   default door                     phone                            secure door
//   WriteItems credentials ────────► keeps them, calls with them ───► certificate known, MAC agrees
//     (under a PIN: secure-mode-data) (after the PIN was typed)       with a PIN: ReadItems bootstrapping-tan
//   18443 stays open until then                                       → secure: 18443 is closed for this
//   phone
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/secret.h"
#include "db/deployment_repository.h"
#include "db/device_repository.h"
#include "db/job_repository.h"
#include "db/secure_mode_repository.h"
#include "provisioning/delivery/delivery_options.h"
#include "provisioning/phone/wpi_message.h"
#include "provisioning/secure_mode/secure_mode_data.h"
#include "provisioning/security/secure_credentials.h"
#include "provisioning/security/security_pins.h"

namespace phonepki::provisioning {

namespace pin_mode {
inline constexpr char kNone[] = "none";
inline constexpr char kDefault[] = "default";
inline constexpr char kIndividual[] = "individual";
}  // namespace pin_mode

// What goes along with the client certificate.
struct EnrolmentPlan {
  std::string mode;  // pin_mode
  base::Secret pin;
  std::vector<std::string> server_cas;  // PEM, one or two
  int secure_port = 0;                  // where the phone is to call
  bool renewal = false;                 // the phone is in secure mode already: no goto-secure-mode
};

// Until when a job waits for somebody to type the PIN; its deadline comes first.
absl::Duration WaitForPin(const db::JobRecord& job);

// Thread-safe.
class SecureEnrolment {
 public:
  SecureEnrolment(const DeliveryOptions& options, const SecureModeDataCodec& codec,
                  SecureCredentials& credentials, SecurityPins& pins)
      : options_(options), codec_(codec), credentials_(credentials), pins_(pins) {}

  // kFailedPrecondition NO_SERVER_CREDENTIAL: phones would have nobody to call.
  // Records what trust the phone is given.
  absl::StatusOr<EnrolmentPlan> Plan(db::Tx& tx, const db::DeviceRecord& device,
                                     const db::JobRecord& job) const;
  // The items to write, secret all of them. `certificate` is the item of the client certificate.
  absl::StatusOr<std::vector<phone::Item>> Items(const EnrolmentPlan& plan, phone::Item certificate) const;
  // The phone accepted them: the job waits for its first contact at the secure door.
  absl::Status Written(db::Tx& tx, const db::DeviceRecord& device, const db::JobRecord& job,
                       const db::JobFence& fence, const std::string& mode) const;

  // Proven: the certificate is active, the default door is closed for the phone.
  absl::Status Complete(db::Tx& tx, const db::JobRecord& job, const db::JobFence& fence) const;
  // The same for a certificate whose job has ended, while a later one goes on.
  absl::Status CompleteLate(db::Tx& tx, std::int64_t device_id, std::int64_t certificate_id) const;
  // Not proven: the certificate is good for nothing any more, the phone is in default mode.
  absl::Status Fail(db::Tx& tx, const db::JobRecord& job, const db::JobFence& fence, const std::string& state,
                    const std::string& reason, const std::string& text) const;

  // Whether that is the end of the PIN that the device was enrolled with.
  enum class Tan { kRight, kWrong, kPinExpired };
  absl::StatusOr<Tan> CheckTan(db::Tx& tx, std::int64_t device_id, const std::string& mode,
                               const std::string& tan) const;

 private:
  absl::Status Admit(db::Tx& tx, std::int64_t device_id, std::int64_t certificate_id,
                     const std::string& text) const;

  const DeliveryOptions& options_;
  const SecureModeDataCodec& codec_;
  SecureCredentials& credentials_;
  SecurityPins& pins_;
};

}  // namespace phonepki::provisioning
