// The server's half of a phone session, message by message (wpi.md 2.7, 3, 4). No state is kept here: every
// message finds its session in the database, so that any replica can answer it, also after a restart in the
// middle. (What is kept is which sessions a stop should wait for.)
//
//   initial contact ─┬─ job waiting, call caused by our knock → WriteItems → ReadItems(-info) → CleanUp →
//   verifying
//                    ├─ inventory unknown or changed          → ReadAllItems (… GetNextFragment) → CleanUp
//                    └─ nothing to do                         → CleanUp
//
// Default mode authenticates nobody: key material goes out only in a session that answers our own knock, from
// the address we knocked at, within the knock's lifetime (design.md 7). At the secure door the client
// certificate names the phone, and every session may deliver.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/wake_signal.h"
#include "db/database.h"
#include "db/device_repository.h"
#include "db/job_repository.h"
#include "db/session_repository.h"
#include "provisioning/delivery/delivery_options.h"
#include "provisioning/delivery/secure_enrolment.h"
#include "provisioning/delivery/security_watch.h"
#include "provisioning/devices/placement.h"
#include "provisioning/phone/http_door.h"
#include "provisioning/phone/wpi_message.h"
#include "provisioning/pki/issuance.h"

namespace phonepki::provisioning {

inline constexpr char kWbmSlot[] = "wbm";

class PhoneDialogue {
 public:
  // `on_verifiable` is called after a job became ready to be probed. All references outlive the dialogue.
  PhoneDialogue(db::Database& database, Issuance& issuance, Placement& placement,
                const SecureEnrolment& enrolment, const DeliveryOptions& options,
                std::function<void()> on_verifiable);

  // Answer one request of a door. Never throw; every failure is a CleanUp or HTTP 503. Thread-safe.
  phone::HttpResponse HandleDefault(const phone::HttpRequest& request);
  // The door has verified the client's certificate, but not whose it is.
  phone::HttpResponse HandleSecure(const phone::HttpRequest& request);
  // A poll (dcmp.h). An answer of true is a knock at the phone, within the rules of db::AnswerPoll.
  bool HasWork(const std::string& mac, const std::string& address);
  // A client that did not come so far.
  void OnRefused(const phone::RefusedClient& refused);

  // Opens no more sessions (a phone that calls gets 503 and comes again), and returns when those that were
  // last answered here have ended, or after `limit`. What is still open then goes on at another replica or
  // after the restart.
  void Drain(absl::Duration limit);

 private:
  struct Contact {
    const phone::HttpRequest& request;
    const phone::WorkpointMessage& message;
    const char* door;                                   // default, secure
    std::optional<db::ClientCertificateRecord> caller;  // who it is; secure door only
    std::string mac;                                    // as claimed; empty when none was
    bool secure() const { return caller.has_value(); }
  };

  // What to answer, decided inside the transaction; key material is added after it.
  struct Answer {
    phone::ActionKind action = phone::ActionKind::kCleanUp;
    std::vector<phone::Item> items;
    std::string new_cookie;                            // a session was opened
    std::optional<db::DeliverableRecord> deliverable;  // WriteItems: this one
    std::optional<CertificateOrder> order;             // … or issue it first
    const CertificateSlot* slot = nullptr;             // where it goes
    std::optional<EnrolmentPlan> enrolment;            // … and what goes along
    bool refused = false;                              // may not talk at this door
    bool verifiable = false;
  };

  phone::HttpResponse Handle(const phone::HttpRequest& request, const char* door);
  // Nothing: refused, and recorded.
  absl::StatusOr<std::optional<db::ClientCertificateRecord>> Identify(db::Tx& tx,
                                                                      const phone::HttpRequest& request,
                                                                      const std::string& mac);
  absl::Status Record(db::Tx& tx, const Contact& contact, const std::string& kind, const std::string& detail);
  absl::StatusOr<bool> MayTalkInDefaultMode(db::Tx& tx, const Contact& contact,
                                            const std::optional<db::DeviceRecord>& device);
  // A phone that was sent to the secure door is back: its credentials are to be delivered again.
  absl::Status OnReturnFromEnrolment(db::Tx& tx, const db::DeviceRecord& device);
  // A delivery was hoped for that is not ours to make.
  absl::Status RecordUncalledFor(db::Tx& tx, const Contact& contact, const db::DeviceRecord& device);
  // The first contact with a certificate that is not active yet; nothing: go on as usual.
  absl::StatusOr<std::optional<Answer>> OnSecureContact(db::Tx& tx, const Contact& contact,
                                                        db::DeviceRecord& device);
  // … whose job has ended: the job when it goes on. Nothing: the certificate is active, or the phone is
  // refused, with `refused` set.
  absl::StatusOr<std::optional<db::JobRecord>> OnLateContact(db::Tx& tx, const Contact& contact,
                                                             const db::DeviceRecord& device, bool another,
                                                             bool& refused);
  absl::StatusOr<Answer> AskForTan(db::Tx& tx, const Contact& contact, const db::DeviceRecord& device,
                                   const db::JobRecord& job);
  absl::Status OnPinRetriesExceeded(db::Tx& tx, const Contact& contact);
  static db::SessionRecord NewSession(const Contact& contact, std::int64_t device, const char* step);
  static bool IsSessionOf(const Contact& contact, const db::SessionRecord& session);
  absl::StatusOr<Answer> OnTan(db::Tx& tx, const Contact& contact, const db::SessionWork& work);
  absl::StatusOr<Answer> Decide(db::Tx& tx, const Contact& contact);
  absl::StatusOr<Answer> OnInitial(db::Tx& tx, const Contact& contact);
  absl::StatusOr<Answer> OnReply(db::Tx& tx, const Contact& contact);
  absl::StatusOr<Answer> OnPhoneCleanUp(db::Tx& tx, const Contact& contact);
  absl::StatusOr<Answer> OnInventory(db::Tx& tx, db::SessionRecord& session,
                                     const phone::WorkpointMessage& message);
  // The read-back of a session without a job: what has become of the certificate?
  absl::StatusOr<Answer> OnInspection(db::Tx& tx, const db::SessionRecord& session,
                                      const phone::WorkpointMessage& message);
  absl::StatusOr<Answer> OnWriteReply(db::Tx& tx, db::SessionRecord& session, const db::JobRecord& job,
                                      const phone::WorkpointMessage& message);
  absl::StatusOr<Answer> OnReadBack(db::Tx& tx, const db::SessionWork& work,
                                    const phone::WorkpointMessage& message);

  absl::StatusOr<std::optional<db::DeviceRecord>> Register(db::Tx& tx, const Contact& contact,
                                                           const std::optional<db::DeviceRecord>& known);
  absl::StatusOr<Answer> StartDelivery(db::Tx& tx, const db::DeviceRecord& device, const db::JobRecord& job,
                                       const Contact& contact);
  const CertificateSlot& Wbm() const { return *options_.slots->Find(kWbmSlot); }
  absl::StatusOr<std::optional<db::SlotCertificateRecord>> ActiveWbm(db::Tx& tx, std::int64_t device);
  static Answer AskForInfo(const CertificateSlot& slot);
  // The job's slot; kNotFound when the table does not have it any more.
  absl::StatusOr<const CertificateSlot*> SlotOf(const db::JobRecord& job) const;
  absl::StatusOr<absl::Status> PrepareManual(db::Tx& tx, const CertificateSlot& slot,
                                             const db::JobRecord& job, Answer& answer);
  absl::StatusOr<Answer> OnSettingsRead(db::Tx& tx, const db::SessionRecord& session,
                                        const db::JobRecord& job, const CertificateSlot& slot,
                                        const phone::WorkpointMessage& message);
  // Ends a delivery that needs no further proof.
  absl::StatusOr<Answer> Succeed(db::Tx& tx, const db::SessionRecord& session, const db::JobRecord& job,
                                 const std::string& reason, const std::string& text);
  absl::StatusOr<Answer> Close(db::Tx& tx, const db::SessionRecord& session);
  absl::Status Fail(db::Tx& tx, const db::JobRecord& job, const std::string& reason, const std::string& text,
                    bool final);
  bool Admitted(const std::string& address) const;
  absl::StatusOr<db::DeliverableRecord> IssueNow(const CertificateOrder& order);
  phone::HttpResponse Respond(const std::string& nonce, const Answer& answer);
  phone::HttpResponse CleanUp(const std::string& nonce, const std::string& why);
  void Note(const phone::HttpRequest& request, const Answer& answer);

  db::Database& database_;
  Issuance& issuance_;
  Placement& placement_;
  const SecureEnrolment& enrolment_;
  const DeliveryOptions& options_;
  const std::function<void()> on_verifiable_;
  SecurityWatch watch_;

  std::atomic<bool> draining_{false};
  base::WakeSignal ended_;  // a session in hand
  absl::Mutex mutex_;
  // Digest of the cookie, end of its life.
  absl::flat_hash_map<base::Bytes, absl::Time> in_hand_ ABSL_GUARDED_BY(mutex_);
  std::size_t prune_at_ ABSL_GUARDED_BY(mutex_) = 1000;
};

// "V3 R5.12.0" → at least V3 R3: knows send-solicited (wpi.md 4).
bool KnowsSendSolicited(const std::string& software_version);

}  // namespace phonepki::provisioning
