// The half of the dialogue that brings a certificate into a slot: write, read back, and what follows from it.
#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/deployment_repository.h"
#include "db/setting_repository.h"
#include "db/slot_repository.h"
#include "provisioning/delivery/phone_dialogue.h"
#include "provisioning/delivery/phone_text.h"
#include "provisioning/delivery/session_cookie.h"
#include "provisioning/delivery/slot_items.h"
#include "provisioning/pki/trusted_ca.h"

namespace phonepki::provisioning {
namespace {

using phone::ActionKind;
using phone::Item;
using phone::ReplyStatus;
using phone::WorkpointMessage;

// Of an automatic deployment of CA certificates: what it brings to each place of the slot, the newest first
// (current, then next). A place that gets none stays as it is on the phone.
absl::StatusOr<std::vector<base::Bytes>> DeployedCas(db::Tx& tx, const CertificateSlot& slot,
                                                     const db::JobRecord& job) {
  return db::ListDeployedAnchors(tx, job.deployment_id, slot.places());
}

absl::StatusOr<std::vector<Item>> CaItems(db::Tx& tx, const CertificateSlot& slot, const db::JobRecord& job) {
  std::vector<Item> items;
  if (job.is_manual()) {
    ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places, db::ListCaPlaces(tx, job.device_id, job.slot));
    for (const db::CaPlaceRecord& place : places) {
      if (place.wanted == db::CaPlaceRecord::Wanted::kActivate) {
        items.push_back(CaItem(slot, place.position, place.imported->der));
      } else if (place.wanted == db::CaPlaceRecord::Wanted::kRemove) {
        items.push_back(DeletionItem(slot, place.position));
      }
    }
    return items;
  }
  ASSIGN_OR_RETURN(std::vector<base::Bytes> anchors, DeployedCas(tx, slot, job));
  for (const base::Bytes& anchor : anchors) {
    items.push_back(CaItem(slot, slot.first_place() + static_cast<int>(items.size()), anchor));
  }
  return items;
}

// The phone has taken CaItems().
absl::Status SettleCas(db::Tx& tx, const CertificateSlot& slot, const db::JobRecord& job) {
  if (job.is_manual()) return db::SettleWantedCas(tx, job.device_id, job.slot);
  ASSIGN_OR_RETURN(std::vector<base::Bytes> anchors, DeployedCas(tx, slot, job));
  ASSIGN_OR_RETURN(std::vector<db::TrustedCaRecord> cas, ReadTrustedCas(anchors));
  ASSIGN_OR_RETURN(std::vector<std::int64_t> ids, db::KeepTrustedCas(tx, cas));
  std::vector<std::int64_t> positions;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    positions.push_back(slot.first_place() + static_cast<int>(i));
  }
  return db::SetActiveCas(tx, job.device_id, job.slot, positions, ids);
}

// What the phone is to be told. A word that the table does not know any more is told as it is: the phone will
// say what it thinks of it.
absl::StatusOr<std::vector<Item>> WantedSettings(db::Tx& tx, const CertificateSlot& slot,
                                                 const db::JobRecord& job) {
  ASSIGN_OR_RETURN(std::vector<db::SettingRecord> wanted, db::ListSettings(tx, job.device_id, job.slot));
  std::vector<Item> items;
  for (const SettingItem& setting : slot.settings) {
    for (const db::SettingRecord& record : wanted) {
      if (record.key != setting.key) continue;
      Item& item = items.emplace_back(Item{setting.item, std::nullopt, record.wanted, ""});
      for (const auto& [word, value] : setting.values) {
        if (word == record.wanted) item.value = value;
      }
    }
  }
  return items;
}

// A manual job without a certificate: the phone is to delete the one that it has.
bool IsDeletion(const CertificateSlot& slot, const db::JobRecord& job) {
  return job.is_manual() && slot.holds == CertificateSlot::Holds::kCertificate && !job.certificate_id;
}

// Some write 0A, some A.
std::string WithoutZeros(const std::string& digits) {
  return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
}

// A refusal that will be the same next time.
bool IsHopeless(const std::string& item_status) {
  for (const char* status :
       {"invalid data", "unknown item", "read only", "not supported", "unexpected item", "invalid index"}) {
    if (item_status == status) return true;
  }
  return false;
}

}  // namespace

// The job had no certificate yet: the phone called before a worker came to it.
absl::StatusOr<db::DeliverableRecord> PhoneDialogue::IssueNow(const CertificateOrder& order) {
  const std::vector<absl::StatusOr<std::int64_t>> issued = issuance_.IssueBatch({order});
  RETURN_IF_ERROR(issued[0].status());
  const std::int64_t certificate = *issued[0];
  return database_.InTransactionReturning(
      "session_certificate", [&](db::Tx& tx) -> absl::StatusOr<db::DeliverableRecord> {
        RETURN_IF_ERROR(db::SetJobCertificate(tx, order.job, certificate));
        return db::GetDeliverable(tx, certificate);
      });
}

// Fills in what the phone is to be told. An inner status: that cannot be done any more.
absl::StatusOr<absl::Status> PhoneDialogue::PrepareManual(db::Tx& tx, const CertificateSlot& slot,
                                                          const db::JobRecord& job, Answer& answer) {
  if (slot.holds == CertificateSlot::Holds::kCertificate && job.certificate_id) {
    ASSIGN_OR_RETURN(answer.deliverable, db::GetDeliverable(tx, *job.certificate_id));
    if (!answer.deliverable->wrapped_key.empty()) return absl::OkStatus();
    return base::WithReason(absl::FailedPreconditionError("the private key has been erased; import it again"),
                            db::job_reason::kKeyErased);
  }
  if (IsDeletion(slot, job)) {
    answer.items = {DeletionItem(slot, slot.first_place())};
  } else if (slot.holds == CertificateSlot::Holds::kSettings) {
    ASSIGN_OR_RETURN(answer.items, WantedSettings(tx, slot, job));
  } else {
    ASSIGN_OR_RETURN(answer.items, CaItems(tx, slot, job));
  }
  if (!answer.items.empty()) return absl::OkStatus();
  return base::WithReason(absl::FailedPreconditionError("what it was to bring has been deleted meanwhile"),
                          db::job_reason::kNothingToDo);
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::StartDelivery(db::Tx& tx, const db::DeviceRecord& device,
                                                                   const db::JobRecord& job,
                                                                   const Contact& contact) {
  Answer answer;
  absl::StatusOr<const CertificateSlot*> slot =
      options_.slots->ForDevice(job.slot, device.device_type, device.software_version);
  if (!slot.ok()) {
    RETURN_IF_ERROR(
        Fail(tx, job, db::job_reason::kSlotNotSupported, std::string(slot.status().message()), true));
    return answer;
  }
  answer.slot = *slot;
  if (answer.slot->proof == CertificateSlot::Proof::kSecureContact) {
    absl::StatusOr<EnrolmentPlan> plan = enrolment_.Plan(tx, device, job);
    if (absl::IsFailedPrecondition(plan.status())) {
      RETURN_IF_ERROR(
          Fail(tx, job, base::ReasonOf(plan.status()), std::string(plan.status().message()), true));
      return Answer{};
    }
    RETURN_IF_ERROR(plan.status());
    answer.enrolment = *std::move(plan);
  }
  if (job.is_manual()) {
    ASSIGN_OR_RETURN(absl::Status why_not, PrepareManual(tx, *answer.slot, job, answer));
    if (!why_not.ok()) {
      RETURN_IF_ERROR(Fail(tx, job, base::ReasonOf(why_not), std::string(why_not.message()), true));
      return Answer{};
    }
  }
  answer.action = ActionKind::kWriteItems;
  answer.new_cookie = NewCookie();
  ASSIGN_OR_RETURN(db::JobFence fence,
                   db::OpenJobSession(tx, CookieHash(answer.new_cookie),
                                      NewSession(contact, device.id, db::session_step::kWrite), job.id,
                                      phone::PrintReason(contact.message.reason), options_.session_timeout,
                                      db::job_reason::kInSession, "the phone has called"));
  if (job.is_manual()) return answer;
  if (answer.slot->holds == CertificateSlot::Holds::kCaCertificates) {
    ASSIGN_OR_RETURN(answer.items, CaItems(tx, *answer.slot, job));
    return answer;
  }
  if (job.certificate_id) {
    ASSIGN_OR_RETURN(answer.deliverable, db::GetDeliverable(tx, *job.certificate_id));
    return answer;
  }
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job.deployment_id));
  ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, device.location_id));
  answer.order =
      CertificateOrder{device.id,
                       job.slot,
                       answer.slot->profile,
                       fence,
                       deployment.connector_id,
                       {device.mac, device.ip_address, device.fqdn, device.e164, location.display_name}};
  return answer;
}

absl::StatusOr<const CertificateSlot*> PhoneDialogue::SlotOf(const db::JobRecord& job) const {
  if (const CertificateSlot* slot = options_.slots->Find(job.slot)) return slot;
  return absl::NotFoundError(absl::StrCat("the server's slot table has no slot ", job.slot, " any more"));
}

PhoneDialogue::Answer PhoneDialogue::AskForInfo(const CertificateSlot& slot) {
  Answer answer;
  answer.action = ActionKind::kReadItems;
  answer.items = InfoItems(slot);
  return answer;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnWriteReply(db::Tx& tx, db::SessionRecord& session,
                                                                  const db::JobRecord& job,
                                                                  const WorkpointMessage& message) {
  if (message.status == ReplyStatus::kBusy) {
    // The phone calls back by itself when it was told to (one flag, not a queue); older firmware is knocked
    // again.
    ASSIGN_OR_RETURN(db::DeviceRecord device, db::LockDevice(tx, session.device_id));
    const bool calls_back = KnowsSendSolicited(device.software_version);
    RETURN_IF_ERROR(db::ReleaseJobs(tx, {{*session.job, db::job_state::kDeferred, db::job_reason::kPhoneBusy,
                                          calls_back ? "in a call; the phone will call back when idle"
                                                     : "in a call; the phone will be asked again",
                                          calls_back ? options_.retry_max : BackOff(options_, 0)}})
                        .status());
    if (calls_back) RETURN_IF_ERROR(db::ExtendKnock(tx, session.device_id, options_.busy_grant));
    RETURN_IF_ERROR(db::CloseSession(tx, session.id));
    Answer answer;
    if (calls_back) answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
    return answer;
  }
  if (message.status == ReplyStatus::kFailed) {
    RETURN_IF_ERROR(Fail(tx, job, db::job_reason::kWriteRefused, "the phone refused WriteItems", false));
    return Close(tx, session);
  }
  for (const Item& item : message.items) {
    if (item.status.empty()) continue;
    RETURN_IF_ERROR(
        Fail(tx, job, db::job_reason::kItemRejected,
             absl::StrCat("the phone rejected ", Clip(item.name, 80), ": ", Clip(item.status, 80)),
             IsHopeless(item.status)));
    return Close(tx, session);
  }
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotOf(job));
  if (slot->proof == CertificateSlot::Proof::kSecureContact) {
    ASSIGN_OR_RETURN(db::DeviceRecord device, db::LockDevice(tx, session.device_id));
    ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job.deployment_id));
    const bool renewal = device.security_state == db::security_state::kSecure;
    RETURN_IF_ERROR(
        enrolment_.Written(tx, device, job, *session.job, renewal ? pin_mode::kNone : deployment.pin_mode));
    RETURN_IF_ERROR(db::FinishJobSession(tx, session).status());
    Answer answer;
    // A new phone comes to the secure door by itself; one that is there already must be told to come again.
    // Old firmware does so only after a restart.
    if (renewal && KnowsSendSolicited(device.software_version)) {
      answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
    } else if (renewal) {
      answer.action = ActionKind::kRestart;
    }
    return answer;
  }
  if (IsDeletion(*slot, job)) {
    RETURN_IF_ERROR(db::RemoveActive(tx, job.device_id, job.slot));
    return Succeed(tx, session, job, db::job_reason::kAccepted, "the phone has deleted its certificate");
  }
  if (slot->info_item.empty() && slot->proof == CertificateSlot::Proof::kAccepted) {
    return Succeed(tx, session, job, db::job_reason::kAccepted,
                   "the phone accepted it; nothing tells more about this slot");
  }
  session.step = db::session_step::kReadBack;
  RETURN_IF_ERROR(db::AdvanceJobSession(tx, session, options_.session_timeout, db::job_reason::kWritten,
                                        "the phone accepted the certificate"));
  return AskForInfo(*slot);
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnReadBack(db::Tx& tx, const db::SessionWork& work,
                                                                const WorkpointMessage& message) {
  const db::SessionRecord& session = work.session;
  const db::JobRecord& job = *work.job;
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotOf(job));
  // The answer to the write got lost and the phone says it again: so do we.
  if (message.action == "WriteItems") return AskForInfo(*slot);
  if (slot->holds == CertificateSlot::Holds::kSettings)
    return OnSettingsRead(tx, session, job, *slot, message);
  const std::string info = InfoOf(*slot, message);
  RETURN_IF_ERROR(db::SetReadBack(tx, session.device_id, job.slot, info));
  const std::string serial = SerialOf(*slot, info);
  // A phone that needs a restart first may tell of the one before; the probe will see.
  const bool later = options_.restart_after_write && slot->proof == CertificateSlot::Proof::kProbe;
  if (!later && !serial.empty() && !work.certificate_serial.empty() &&
      WithoutZeros(ca::HexLower(work.certificate_serial)) != WithoutZeros(serial)) {
    RETURN_IF_ERROR(Fail(tx, job, db::job_reason::kReadBackMismatch,
                         "the phone reads back a certificate with another serial number", false));
    return Close(tx, session);
  }
  if (slot->proof == CertificateSlot::Proof::kReadBack && info.empty()) {
    RETURN_IF_ERROR(Fail(tx, job, db::job_reason::kReadBackMismatch,
                         absl::StrCat("the phone says nothing of ", slot->info_item), false));
    return Close(tx, session);
  }
  if (slot->proof == CertificateSlot::Proof::kReadBack) {
    return Succeed(tx, session, job, db::job_reason::kVerified,
                   serial.empty() ? "the phone accepted it and tells about it, but names no serial number"
                                  : "the phone reads back the new certificate");
  }
  if (slot->proof == CertificateSlot::Proof::kAccepted) {
    return Succeed(tx, session, job, db::job_reason::kAccepted, "the phone accepted it");
  }
  db::JobRelease release{*session.job, db::job_state::kVerifying, db::job_reason::kReadBack,
                         "written and read back; the phone's web server is to be looked at"};
  release.unanswered = db::JobRelease::Unanswered::kReset;
  if (options_.restart_after_write) release.delay = absl::Seconds(30);
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {release}).status());
  ASSIGN_OR_RETURN(bool more, db::FinishJobSession(tx, session));
  Answer answer;
  // One job per contact: an idle phone that is told send-solicited comes back at once for the next.
  if (more) answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
  if (options_.restart_after_write) {
    answer = Answer{};
    answer.action = ActionKind::kRestart;
  }
  answer.verifiable = true;
  return answer;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnSettingsRead(db::Tx& tx,
                                                                    const db::SessionRecord& session,
                                                                    const db::JobRecord& job,
                                                                    const CertificateSlot& slot,
                                                                    const WorkpointMessage& message) {
  ASSIGN_OR_RETURN(std::vector<Item> wanted, WantedSettings(tx, slot, job));
  bool told_all = true;
  for (const Item& item : wanted) {
    const auto read = std::find_if(message.items.begin(), message.items.end(),
                                   [&](const Item& one) { return one.name == item.name; });
    // Some settings can be written and not read.
    const bool told = read != message.items.end() && read->status.empty();
    told_all &= told;
    if (!told || read->value == item.value) continue;
    RETURN_IF_ERROR(Fail(tx, job, db::job_reason::kReadBackMismatch,
                         absl::StrCat("the phone reads back ", item.name, " = \"", Clip(read->value, 80),
                                      "\" instead of \"", item.value, "\""),
                         false));
    return Close(tx, session);
  }
  RETURN_IF_ERROR(db::ConfirmSettings(tx, job.device_id, job.slot));
  return told_all
             ? Succeed(tx, session, job, db::job_reason::kVerified, "the phone reads back the new settings")
             : Succeed(tx, session, job, db::job_reason::kAccepted,
                       "the phone accepted the settings and does not tell all of them");
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::Succeed(db::Tx& tx, const db::SessionRecord& session,
                                                             const db::JobRecord& job,
                                                             const std::string& reason,
                                                             const std::string& text) {
  db::JobRelease release{*session.job, db::job_state::kSucceeded, reason, text};
  release.unanswered = db::JobRelease::Unanswered::kReset;
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {release}).status());
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotOf(job));
  if (slot->holds == CertificateSlot::Holds::kCaCertificates) {
    RETURN_IF_ERROR(SettleCas(tx, *slot, job));
  } else if (job.certificate_id) {
    RETURN_IF_ERROR(
        db::ActivateCertificates(tx, {job.device_id}, job.slot, {*job.certificate_id}, options_.erase_keys));
  }
  ASSIGN_OR_RETURN(bool more, db::FinishJobSession(tx, session));
  Answer answer;
  if (more) answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
  return answer;
}

absl::Status PhoneDialogue::Fail(db::Tx& tx, const db::JobRecord& job, const std::string& reason,
                                 const std::string& text, bool final) {
  db::JobRelease release{{job.id, job.attempt}, db::job_state::kDeferred, reason, text};
  release.add_failures = 1;
  release.delay = BackOff(options_, job.failures);
  if (final || job.failures + 1 >= options_.max_failures) release.state = db::job_state::kFailed;
  RETURN_IF_ERROR(db::ForgetKnock(tx, job.device_id));
  return db::ReleaseJobs(tx, {release}).status();
}

}  // namespace phonepki::provisioning
