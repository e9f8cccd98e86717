// Whom phones believe: verification policies with the guard that keeps a phone from locking itself out (B-045
// to B-047), and OCSP responders (D-26). Reasons: proto/phonepki/deployment/v1/phone_settings.proto.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/clock.h"
#include "db/database.h"
#include "provisioning/manual/device_selection.h"
#include "provisioning/slots/slot_table.h"

namespace phonepki::provisioning {

inline constexpr int kMaxSettingDevices = 10000;

// Words of the slot table.
inline constexpr char kLevelNone[] = "none";
inline constexpr char kLevelTrusted[] = "trusted";
inline constexpr char kLevelFull[] = "full";

// Thread-safe.
class PhoneSettings {
 public:
  PhoneSettings(db::Database& database, const SlotTable& slots, const base::Clock& clock,
                absl::Duration job_deadline, std::function<void()> on_jobs)
      : database_(database),
        slots_(slots),
        clock_(clock),
        job_deadline_(job_deadline),
        on_jobs_(std::move(on_jobs)) {}

  struct Verification {
    std::string service;
    std::string level;
    std::string_view server_certificates;  // a certificate file; empty: not known
    std::string override_reason;
    bool validate_only = false;
  };
  absl::StatusOr<std::vector<DeviceOutcome>> SetVerification(const Selection& selection,
                                                             const Verification& wanted,
                                                             const std::string& actor);
  absl::StatusOr<std::vector<DeviceOutcome>> SetOcsp(const Selection& selection, bool check,
                                                     const std::vector<std::string>& responders,
                                                     bool validate_only, const std::string& actor);

 private:
  struct Server;  // the certificate that phones are to verify

  // B-047. OK: the phone will still reach its server, as far as we know.
  absl::Status Guard(db::Tx& tx, const db::DeviceRecord& device, const CertificateSlot& policy,
                     const Server& server) const;

  db::Database& database_;
  const SlotTable& slots_;
  const base::Clock& clock_;
  const absl::Duration job_deadline_;
  const std::function<void()> on_jobs_;
};

// The title of a verification policy in force that would lock the phone out without what it holds in these
// places of the CA slot; empty: none.
absl::StatusOr<std::string> PolicyThatNeeds(db::Tx& tx, const SlotTable& slots,
                                            const db::DeviceRecord& device, const CertificateSlot& slot,
                                            const std::vector<std::int64_t>& positions, absl::Time now);

}  // namespace phonepki::provisioning
