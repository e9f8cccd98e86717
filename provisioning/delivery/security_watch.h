// Who tried what at a phone door (design.md 7): recorded for people, in bounds, so that a flood of tries is
// no flood of rows.
#pragma once

#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "db/database.h"
#include "provisioning/phone/http_door.h"

namespace phonepki::provisioning {

namespace security_event {
// At the default door.
inline constexpr char kDefaultModeRefused[] = "DEFAULT_MODE_REFUSED";  // a secure phone's MAC (wpi.md 6.3)
inline constexpr char kOtherAddress[] = "CALL_FROM_OTHER_ADDRESS";     // not from where we knocked
inline constexpr char kNoKnock[] = "CALL_WITHOUT_KNOCK";               // solicited, but not by us
inline constexpr char kKnockExpired[] = "KNOCK_EXPIRED";               // solicited by us, too long ago
// At both.
inline constexpr char kForeignSession[] =
    "FOREIGN_SESSION";  // a reply with a cookie that is not, or no longer, its
inline constexpr char kPinRetriesExceeded[] = "PIN_RETRIES_EXCEEDED";
// At the secure door.
inline constexpr char kUnknownCertificate[] = "CLIENT_CERTIFICATE_UNKNOWN";
inline constexpr char kFormerCertificate[] =
    "CLIENT_CERTIFICATE_NOT_CURRENT";  // superseded, revoked, discarded
inline constexpr char kOtherPhonesCertificate[] = "CLIENT_CERTIFICATE_OF_OTHER_PHONE";
inline constexpr char kWrongTan[] = "WRONG_TAN";
}  // namespace security_event

// Thread-safe.
class SecurityWatch {
 public:
  // Within the transaction of the message, so that the record is as durable as what followed from it. The
  // same kind from the same address about the same MAC is recorded once in ten seconds, and at most 100 in a
  // second altogether; the others are only counted in the log.
  absl::Status Record(db::Tx& tx, const std::string& kind, const std::string& door,
                      const std::string& address, const std::string& mac, const std::string& detail);

 private:
  bool Admit(const std::string& key);

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, absl::Time> recent_ ABSL_GUARDED_BY(mutex_);
  absl::Time second_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int in_second_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace phonepki::provisioning
