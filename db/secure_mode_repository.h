// Secure mode (B-060 to B-069): credentials of both sides, PINs, the security state of phones with its
// protocol, and what happened at the doors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "db/database.h"

namespace phonepki::db {

namespace credential_kind {
inline constexpr char kServer[] = "server";
inline constexpr char kClient[] = "client";
}  // namespace credential_kind

// The slot of the certificate that a phone presents at the secure door.
inline constexpr char kClientCertificateSlot[] = "secure-mode";

// V0005__slots_secure_mode.sql says what each means.
namespace security_state {
inline constexpr char kDefault[] = "default";
inline constexpr char kEnrolling[] = "enrolling";
inline constexpr char kAwaitingPin[] = "awaiting_pin";
inline constexpr char kPinExhausted[] = "pin_exhausted";
inline constexpr char kSecure[] = "secure";
inline constexpr char kDesynchronised[] = "desynchronised";
}  // namespace security_state

struct SecureCredentialRecord {
  std::int64_t id = 0;
  std::string kind;
  std::int64_t connector_id = 0;
  std::string connector_display_name;  // on reading
  bool active = false;
  std::optional<std::int64_t> certificate_id;  // server only, with all below up to wrapped_key
  base::Bytes certificate;                     // on reading
  base::Bytes wrapped_key;
  std::vector<base::Bytes> chain;  // issuing CA first, root last
  absl::Time created_at;
};

// Held until the transaction ends by whoever creates, activates or deletes a credential.
absl::Status LockSecureCredentials(Tx& tx);
// An id to wrap the key for, before the row exists.
absl::StatusOr<std::int64_t> NextSecureCredentialId(Tx& tx);
// Active when no other of its kind is (B-061). Under LockSecureCredentials.
absl::Status InsertSecureCredential(Tx& tx, const SecureCredentialRecord& credential);
absl::StatusOr<SecureCredentialRecord> GetSecureCredential(Tx& tx, std::int64_t id);  // kNotFound
// Newest first, ids below `before`; `kind` empty = both.
absl::StatusOr<std::vector<SecureCredentialRecord>> ListSecureCredentials(Tx& tx, const std::string& kind,
                                                                          std::int64_t before, int limit);
// One active per kind: the former one is not any more. Under LockSecureCredentials.
absl::Status ActivateSecureCredential(Tx& tx, const SecureCredentialRecord& credential);
absl::StatusOr<std::int64_t> CountSecureCredentials(Tx& tx, const std::string& kind);
// The certificate of a server credential is superseded. Under LockSecureCredentials.
absl::Status DeleteSecureCredential(Tx& tx, const SecureCredentialRecord& credential);
// Phones outside default mode whose live client certificate no other client credential than this one would
// vouch for.
absl::StatusOr<std::int64_t> CountPhonesOfCredential(Tx& tx, const SecureCredentialRecord& credential);
// The server CAs that a phone is given in a job of secure mode, by SHA-256. What is given twice in a job, it
// may have taken the first or the second time: only what it was given both times counts.
absl::Status RecordGivenTrust(Tx& tx, std::int64_t job_id, std::int64_t device_id,
                              const std::vector<base::Bytes>& anchors);
// Phones in secure mode that were not given this one along with their active certificate.
absl::StatusOr<std::int64_t> CountPhonesWithoutTrust(Tx& tx, const base::Bytes& anchor);
// Changes whenever a credential is created, activated or deleted.
absl::StatusOr<std::string> SecureCredentialRevision(Tx& tx);

// A live or former certificate that a phone may present at the secure door.
struct ClientCertificateRecord {
  std::int64_t certificate_id = 0;
  std::int64_t ca_id = 0;
  std::string state;  // of the certificate: issued, active, superseded, revoked, …
  std::string slot;
  bool expired = false;  // by the database clock
  std::int64_t device_id = 0;
  std::string mac;
  std::string security_state;  // of the device
};
// By the SHA-256 of its DER. Nothing for certificates that are not phones' client certificates, or whose
// device is gone.
absl::StatusOr<std::optional<ClientCertificateRecord>> FindClientCertificate(Tx& tx,
                                                                             const base::Bytes& sha256);

// An enrolment that ended before the phone called with its certificate, which is still good for it.
struct EndedEnrolmentRecord {
  std::int64_t job_id = 0;
  std::string state;     // of the job
  std::string pin_mode;  // of its deployment
};
// The last job that this certificate of the device was made for. Under the lock of the device. Nothing when
// the certificate is not 'issued' any more.
absl::StatusOr<std::optional<EndedEnrolmentRecord>> FindEndedEnrolment(Tx& tx, std::int64_t device_id,
                                                                       std::int64_t certificate_id);
// The phone has called after all: the job waits for it again, with a new deadline. No other unfinished job of
// the device may be for that slot.
absl::Status ResumeEnrolment(Tx& tx, std::int64_t job_id);
// Makes certificates of earlier, ended enrolments good for nothing, and forgets what trust came with them:
// the device has proven another one, which is active.
absl::Status DiscardFormerEnrolments(Tx& tx, std::int64_t device_id);

// No device: the default PIN (B-065).
struct SecurityPinRecord {
  std::optional<std::int64_t> device_id;
  base::Bytes wrapped_pin;
  std::optional<absl::Time> expires_at;  // empty: does not
  std::optional<absl::Time> viewed_at;
  bool expired = false;  // by the database clock
};

absl::StatusOr<std::optional<SecurityPinRecord>> FindDefaultPin(Tx& tx);
// Does nothing when there is one: read again, another replica may have been faster.
absl::Status InsertDefaultPin(Tx& tx, const base::Bytes& wrapped_pin);
absl::Status ReplaceDefaultPin(Tx& tx, const base::Bytes& wrapped_pin);

// At most one per device, in the order of the device ids; expired ones too.
absl::StatusOr<std::vector<SecurityPinRecord>> FindDevicePins(Tx& tx,
                                                              const std::vector<std::int64_t>& devices);
// Does nothing for a device that has one which is not expired: read again.
absl::Status InsertDevicePins(Tx& tx, const std::vector<std::int64_t>& devices,
                              const std::vector<base::Bytes>& wrapped_pins, absl::Duration lifetime);
absl::Status ReplaceDevicePin(Tx& tx, std::int64_t device_id, const base::Bytes& wrapped_pin,
                              absl::Duration lifetime);
// The devices among these whose PIN nobody had viewed and that is not expired: theirs may be shown, now and
// never again.
absl::StatusOr<std::vector<std::int64_t>> MarkDevicePinsViewed(Tx& tx,
                                                               const std::vector<std::int64_t>& devices);
absl::Status DeleteDevicePin(Tx& tx, std::int64_t device_id);
// With them end the enrolments that await one of them: nobody could tell its end any more. Returns how many
// PINs went.
absl::StatusOr<std::int64_t> SweepExpiredPins(Tx& tx, int limit);

// Tab Security State Protocol (B-067).
struct SecurityStateEventRecord {
  std::int64_t id = 0;
  absl::Time at;
  std::string state;
  std::string text;
};

struct DeviceSecurityRecord {
  std::string state;
  int tan_failures = 0;
};

absl::StatusOr<DeviceSecurityRecord> GetDeviceSecurity(Tx& tx, std::int64_t device_id);  // kNotFound
// The state and its line in the protocol, in one statement. `text` is for people.
absl::Status SetSecurityState(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& state,
                              const std::string& text);
// Takes phones out of secure mode (B-068, B-069), all in this order of locks: device, session, job,
// certificate. Their state is default, with `text` in the protocol; open sessions end; what is unfinished or
// live for kClientCertificateSlot is cancelled, revoked and its key erased; the knock they had counts no
// more.
struct LeftSecureMode {
  std::int64_t revoked_certificates = 0;
  std::int64_t cancelled_jobs = 0;
};
absl::StatusOr<LeftSecureMode> LeaveSecureMode(Tx& tx, const std::vector<std::int64_t>& devices,
                                               const std::string& text);
// A line in the protocol of a device that stays in its state.
absl::Status AppendSecurityStateEvent(Tx& tx, std::int64_t device_id, const std::string& text);
// Newest first, ids below `before`.
absl::StatusOr<std::vector<SecurityStateEventRecord>> ListSecurityStateEvents(Tx& tx, std::int64_t device_id,
                                                                              std::int64_t before, int limit);
// How many wrong TANs the device has told by now.
absl::StatusOr<int> IncrementTanFailures(Tx& tx, std::int64_t device_id);
absl::Status ResetTanFailures(Tx& tx, std::int64_t device_id);

// Who tried what at a phone door.
struct SecurityEventRecord {
  std::int64_t id = 0;
  absl::Time at;
  std::string kind;     // stable, UPPER_SNAKE_CASE
  std::string door;     // default, secure
  std::string address;  // of the caller
  std::string mac;      // as claimed; empty when none was
  std::string detail;
};

// Long texts, which are a stranger's, are cut.
absl::Status AppendSecurityEvent(Tx& tx, const SecurityEventRecord& event);
// Newest first, ids below `before`; `mac` empty = all.
absl::StatusOr<std::vector<SecurityEventRecord>> ListSecurityEvents(Tx& tx, const std::string& mac,
                                                                    std::int64_t before, int limit);

// A phone that is not in state default.
struct SecureDeviceRecord {
  std::int64_t device_id = 0;
  std::string mac;
  std::int64_t location_id = 0;
  std::string location_display_name;
  std::string e164;
  std::string state;
  int tan_failures = 0;
  std::optional<absl::Time> last_contact_at;
  std::optional<absl::Time> changed_at;  // the newest line of its protocol, with its text
  std::string last_text;
};
// Ordered by (state, MAC), after `after_state`, `after_mac`. `state` empty = every state but default.
absl::StatusOr<std::vector<SecureDeviceRecord>> ListSecureDevices(Tx& tx, const std::string& state,
                                                                  const std::string& after_state,
                                                                  const std::string& after_mac, int limit);

// Phones of a location that may need a PIN: all but those in state secure. Ordered by MAC.
struct PinDeviceRecord {
  std::int64_t device_id = 0;
  std::string mac;
  std::string e164;
};
absl::StatusOr<std::vector<PinDeviceRecord>> ListPinDevices(Tx& tx, std::int64_t location_id,
                                                            const std::string& after_mac, int limit);

}  // namespace phonepki::db
