#include "provisioning/delivery/phone_dialogue.h"

#include <algorithm>
#include <cmath>

#include <absl/random/random.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/network_name.h"
#include "db/deployment_repository.h"
#include "provisioning/delivery/phone_text.h"
#include "provisioning/delivery/session_cookie.h"
#include "provisioning/delivery/slot_items.h"

namespace phonepki::provisioning {
namespace {

using phone::ActionKind;
using phone::HttpRequest;
using phone::HttpResponse;
using phone::Item;
using phone::Reason;
using phone::ReplyStatus;
using phone::WorkpointMessage;

constexpr int kMaxFragments = 200;
constexpr char kDefaultDoor[] = "default";
constexpr char kSecureDoor[] = "secure";
constexpr char kPinRetriesExceeded[] = "password retries exceeded";  // wpi.md 6.5

HttpResponse ComeAgain() {
  HttpResponse response;
  response.status = 503;
  response.close = true;
  return response;
}

std::string InventoryJson(const WorkpointMessage& message) {
  nlohmann::json items = nlohmann::json::object();
  for (const Item& item : message.items) {
    if (item.name.empty() || !item.status.empty() || phone::IsSecretItem(item.name)) continue;
    const std::string key = item.index ? absl::StrCat(item.name, "[", *item.index, "]") : item.name;
    items[key] = item.value.substr(0, 4000);
  }
  std::string json = items.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // jsonb cannot hold U+0000.
  for (auto at = json.find("\\u0000"); at != std::string::npos; at = json.find("\\u0000")) json.erase(at, 6);
  return json;
}

bool PlacementChanged(const db::DeviceRecord& before, const db::DeviceRecord& now) {
  return !ca::IsSameIp(before.ip_address, now.ip_address) || before.e164 != now.e164 ||
         before.device_type != now.device_type;
}

}  // namespace

absl::Duration BackOff(const DeliveryOptions& options, int attempts) {
  thread_local absl::BitGen random;
  const absl::Duration grown = options.retry_min * std::pow(2.0, std::clamp(attempts, 0, 20));
  return std::min(grown, options.retry_max) * absl::Uniform(random, 0.8, 1.2);
}

bool KnowsSendSolicited(const std::string& software_version) {
  const std::optional<FirmwareVersion> firmware = ParseFirmwareVersion(software_version);
  return firmware && *firmware >= FirmwareVersion{3, 3};
}

PhoneDialogue::PhoneDialogue(db::Database& database, Issuance& issuance, Placement& placement,
                             const SecureEnrolment& enrolment, const DeliveryOptions& options,
                             std::function<void()> on_verifiable)
    : database_(database),
      issuance_(issuance),
      placement_(placement),
      enrolment_(enrolment),
      options_(options),
      on_verifiable_(std::move(on_verifiable)) {}

HttpResponse PhoneDialogue::CleanUp(const std::string& nonce, const std::string& why) {
  HttpResponse response;
  std::vector<Item> items;
  if (!why.empty()) items.push_back({"cleanup-reason", std::nullopt, why, ""});
  response.body = phone::PrintDlsMessage(nonce, ActionKind::kCleanUp, items);
  return response;
}

HttpResponse PhoneDialogue::HandleDefault(const HttpRequest& request) {
  return Handle(request, kDefaultDoor);
}

HttpResponse PhoneDialogue::HandleSecure(const HttpRequest& request) {
  return Handle(request, kSecureDoor);
}

bool PhoneDialogue::HasWork(const std::string& mac, const std::string& address) {
  if (draining_) return false;
  if (options_.admission == Admission::kNetworks && !Admitted(address)) return false;
  const absl::StatusOr<bool> work = database_.InTransactionReturning("phone_poll", [&](db::Tx& tx) {
    return db::AnswerPoll(tx, mac, address, options_.knock_lifetime, options_.contact_gap);
  });
  if (work.ok()) return *work;
  base::LogWarn("phone_poll_failed", {{"address", address}, {"error", work.status()}});
  return false;
}

HttpResponse PhoneDialogue::Handle(const HttpRequest& request, const char* door) {
  absl::StatusOr<WorkpointMessage> message = phone::ParseWorkpointMessage(request.body);
  if (!message.ok()) {
    base::LogInfo("phone_message_refused",
                  {{"address", request.remote_address}, {"reason", base::ReasonOf(message.status())}});
    return CleanUp(phone::SalvageNonce(request.body), "message not understood");
  }
  for (Item& item : message->items) {
    for (std::string* text : {&item.name, &item.value, &item.status}) MakeUtf8(*text);
  }
  if (draining_ && phone::IsInitial(message->reason)) return ComeAgain();
  Answer answer;
  absl::Status status = database_.InTransaction("phone_message", [&](db::Tx& tx) -> absl::Status {
    answer = Answer{};
    Contact contact{request, *message, door, std::nullopt,
                    phone::ParseMac(message->Value("mac-addr")).value_or("")};
    if (door == kSecureDoor) {
      ASSIGN_OR_RETURN(contact.caller, Identify(tx, request, contact.mac));
      answer.refused = !contact.caller;
    }
    if (!answer.refused) {
      ASSIGN_OR_RETURN(answer, Decide(tx, contact));
    }
    return absl::OkStatus();
  });
  if (absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status)) {
    base::LogInfo("phone_message_refused",
                  {{"address", request.remote_address}, {"reason", base::ReasonOf(status)}});
    return CleanUp(message->nonce, "message refused");
  }
  if (!status.ok()) {
    base::LogWarn("phone_message_failed", {{"address", request.remote_address}, {"error", status}});
    return ComeAgain();
  }
  Note(request, answer);
  return Respond(message->nonce, answer);
}

void PhoneDialogue::Note(const HttpRequest& request, const Answer& answer) {
  const bool goes_on = answer.action != ActionKind::kCleanUp && answer.action != ActionKind::kRestart;
  std::vector<std::string> cookies = ReadSessionCookies(request.cookie);
  if (!answer.new_cookie.empty()) cookies = {answer.new_cookie};
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mutex_);
  for (const std::string& cookie : cookies) {
    if (goes_on) {
      in_hand_[CookieHash(cookie)] = now + options_.session_timeout;
    } else {
      in_hand_.erase(CookieHash(cookie));
      ended_.Wake();
    }
  }
  if (in_hand_.size() < prune_at_) return;
  absl::erase_if(in_hand_, [now](const auto& entry) { return entry.second <= now; });
  prune_at_ = 2 * in_hand_.size() + 1000;
}

void PhoneDialogue::Drain(absl::Duration limit) {
  draining_ = true;
  const absl::Time end = absl::Now() + limit;
  for (;;) {
    std::vector<base::Bytes> hashes;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [hash, expiry] : in_hand_) {
        if (expiry > absl::Now()) hashes.push_back(hash);
      }
    }
    // Another replica may have ended them.
    absl::StatusOr<std::int64_t> open =
        hashes.empty() ? 0 : database_.InTransactionReturning("drain", [&](db::Tx& tx) {
          return db::CountOpenSessions(tx, hashes);
        });
    if (open.ok() && *open == 0) return;
    if (absl::Now() >= end) {
      base::LogWarn("sessions_left_open",
                    {{"count", open.value_or(static_cast<std::int64_t>(hashes.size()))}});
      return;
    }
    ended_.WaitFor(absl::Milliseconds(50));
  }
}

HttpResponse PhoneDialogue::Respond(const std::string& nonce, const Answer& answer) {
  if (answer.verifiable) on_verifiable_();
  HttpResponse response;
  if (answer.refused) {
    response.close = true;
    if (options_.refusal == Refusal::kCleanUp) {
      response.body = phone::PrintDlsMessage(nonce, ActionKind::kCleanUp, {});
    } else {
      response.status = 403;
    }
    return response;
  }
  if (!answer.new_cookie.empty()) {
    response.set_cookie = PrintSetCookie(answer.new_cookie);
  }
  if (!answer.deliverable && !answer.order) {
    response.body = phone::PrintDlsMessage(nonce, answer.action, answer.items);
    return response;
  }
  // When this fails, the job comes back as its session expires.
  absl::StatusOr<db::DeliverableRecord> deliverable =
      answer.order ? IssueNow(*answer.order) : *answer.deliverable;
  if (!deliverable.ok()) return CleanUp(nonce, "");
  absl::StatusOr<Item> item = CertificateItem(*answer.slot, *deliverable, issuance_, options_);
  if (!item.ok()) {
    base::LogError("certificate_not_packed",
                   {{"certificate", ca::HexLower(deliverable->serial)}, {"error", item.status()}});
    return CleanUp(nonce, "");
  }
  std::vector<Item> items;
  if (answer.enrolment) {
    absl::StatusOr<std::vector<Item>> credentials = enrolment_.Items(*answer.enrolment, *std::move(item));
    if (!credentials.ok()) {
      base::LogError("credentials_not_packed", {{"error", credentials.status()}});
      return CleanUp(nonce, "");
    }
    items = *std::move(credentials);
  } else {
    items.push_back(*std::move(item));
  }
  response.body = phone::PrintDlsMessage(nonce, ActionKind::kWriteItems, items);
  for (Item& secret : items) base::WipeMemory(secret.value.data(), secret.value.size());
  return response;
}

db::SessionRecord PhoneDialogue::NewSession(const Contact& contact, std::int64_t device, const char* step) {
  db::SessionRecord session;
  session.device_id = device;
  session.door = contact.door;
  session.remote_address = contact.request.remote_address;
  session.step = step;
  return session;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::Decide(db::Tx& tx, const Contact& contact) {
  if (phone::IsInitial(contact.message.reason)) return OnInitial(tx, contact);
  if (contact.message.reason == Reason::kCleanUp) return OnPhoneCleanUp(tx, contact);
  return OnReply(tx, contact);
}

bool PhoneDialogue::Admitted(const std::string& address) const {
  if (options_.admission == Admission::kOpen) return true;
  if (options_.admission == Admission::kKnownDevices) return false;
  std::vector<db::LocationRecord> admitted(1), nobody(1);
  admitted[0].id = 1;
  nobody[0].id = 2;
  nobody[0].is_default = true;
  for (const std::string& network : options_.networks) admitted[0].rules.push_back({"cidr", network});
  admitted.push_back(nobody[0]);
  return LocationResolver(admitted).Resolve({0, "", "", address, "", 0}) == 1;
}

absl::StatusOr<std::optional<db::DeviceRecord>> PhoneDialogue::Register(
    db::Tx& tx, const Contact& contact, const std::optional<db::DeviceRecord>& known) {
  const WorkpointMessage& message = contact.message;
  // In default mode a MAC proves nothing: a known one from outside the admitted networks is as strange as an
  // unknown one, and must not move the phone's address to where the next knock would go.
  const bool by_address = options_.admission == Admission::kNetworks && !contact.secure();
  if ((!known || by_address) && !Admitted(contact.request.remote_address)) {
    return std::optional<db::DeviceRecord>();
  }
  db::DeviceRecord device = known.value_or(db::DeviceRecord());
  device.mac = contact.mac;
  device.ip_address = contact.request.remote_address;
  device.last_contact_reason = phone::PrintReason(message.reason);
  const auto take = [&](const char* item, std::string& field) {
    if (std::string value = message.Value(item); !value.empty()) field = Clip(std::move(value), 255);
  };
  take("e164", device.e164);
  take("device-type", device.device_type);
  take("software-type", device.software_type);
  take("software-version", device.software_version);
  take("part-number", device.part_number);
  take("contact-me-uri", device.contact_me_uri);
  const bool place = !known || known->state == "virtual" || PlacementChanged(*known, device);
  if (place) {
    ASSIGN_OR_RETURN(device.location_id,
                     placement_.Place(tx, {device.id, device.mac, device.e164, device.ip_address,
                                           device.device_type, device.location_id}));
  }
  if (known) {
    RETURN_IF_ERROR(db::UpdateDeviceContact(tx, device));
  } else {
    ASSIGN_OR_RETURN(device.id, db::InsertRegisteredDevice(tx, device));
    base::LogInfo("phone_registered", {{"device", device.mac}, {"address", device.ip_address}});
  }
  if (place && (!known || known->location_id != device.location_id)) {
    RETURN_IF_ERROR(db::CreateJobsForDevices(tx, {device.id}).status());
  }
  return std::optional<db::DeviceRecord>(std::move(device));
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnInitial(db::Tx& tx, const Contact& contact) {
  const WorkpointMessage& message = contact.message;
  RETURN_IF_ERROR(phone::ParseMac(message.Value("mac-addr")).status());
  ASSIGN_OR_RETURN(std::optional<db::DeviceRecord> known, db::FindDeviceForUpdate(tx, contact.mac));
  if (!contact.secure()) {
    ASSIGN_OR_RETURN(bool may_talk, MayTalkInDefaultMode(tx, contact, known));
    if (!may_talk) {
      Answer refusal;
      refusal.refused = true;
      return refusal;
    }
  }
  ASSIGN_OR_RETURN(std::optional<db::DeviceRecord> device, Register(tx, contact, known));
  if (!device) {
    return base::WithReason(absl::PermissionDeniedError("the device is not admitted"), "NOT_ADMITTED");
  }
  if (contact.secure()) {
    ASSIGN_OR_RETURN(std::optional<Answer> answer, OnSecureContact(tx, contact, *device));
    if (answer) return *std::move(answer);
  }
  if (!contact.secure() && device->security_state == db::security_state::kEnrolling) {
    RETURN_IF_ERROR(OnReturnFromEnrolment(tx, *device));
  }
  if (message.reason == Reason::kStatus) return Answer{};
  ASSIGN_OR_RETURN(std::optional<db::JobRecord> job, db::FindJobForSession(tx, device->id));
  const bool caused_by_us =
      contact.secure() ||
      (device->knock_valid && ca::IsSameIp(device->knock_address, contact.request.remote_address));
  if (job && caused_by_us) return StartDelivery(tx, *device, *job, contact);
  if (job) {
    RETURN_IF_ERROR(RecordUncalledFor(tx, contact, *device));
    // Here and awake: knock now instead of at the end of the back-off. Only an answer to a knock is served.
    RETURN_IF_ERROR(db::HastenJobs(tx, device->id).status());
  }
  const bool changed = message.Value("configuration-changed-flag") == "true";
  const bool reads = message.reason == Reason::kStartUp || message.reason == Reason::kInventoryChanges ||
                     message.reason == Reason::kLocalChanges;
  if (!reads || (device->inventory_at && !changed)) {
    RETURN_IF_ERROR(db::CloseSessionsOfDevice(tx, device->id));
    return Answer{};
  }
  Answer answer;
  answer.action = ActionKind::kReadAllItems;
  answer.new_cookie = NewCookie();
  RETURN_IF_ERROR(db::OpenSession(tx, CookieHash(answer.new_cookie),
                                  NewSession(contact, device->id, db::session_step::kInventory),
                                  phone::PrintReason(message.reason), options_.session_timeout));
  return answer;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnReply(db::Tx& tx, const Contact& contact) {
  const WorkpointMessage& message = contact.message;
  std::optional<db::SessionWork> work;
  const std::vector<std::string> cookies = ReadSessionCookies(contact.request.cookie);
  for (const std::string& cookie : cookies) {
    ASSIGN_OR_RETURN(work, db::FindSessionForUpdate(tx, CookieHash(cookie)));
    if (work) break;
  }
  // A reply to nothing, a foreign or expired cookie: the session is over, and the phone is told so.
  if (!work || !IsSessionOf(contact, work->session)) {
    RETURN_IF_ERROR(Record(tx, contact, security_event::kForeignSession,
                           cookies.empty() ? "a reply without a session"
                           : work          ? "a reply in the session of another phone"
                                           : "a reply in a session that has ended or never was"));
    return Answer{};
  }
  if (work->session.step == db::session_step::kTan) return OnTan(tx, contact, *work);
  if (work->session.step == db::session_step::kInventory) return OnInventory(tx, work->session, message);
  if (!work->session.job) return OnInspection(tx, work->session, message);
  if (!work->job) return Close(tx, work->session);  // cancelled, superseded or timed out meanwhile
  if (work->session.step == db::session_step::kWrite) {
    return OnWriteReply(tx, work->session, *work->job, message);
  }
  return OnReadBack(tx, *work, message);
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnInventory(db::Tx& tx, db::SessionRecord& session,
                                                                 const WorkpointMessage& message) {
  if (message.status == ReplyStatus::kAccepted) {
    RETURN_IF_ERROR(
        db::MergeInventory(tx, session.device_id, session.fragments == 0, InventoryJson(message)));
    if (message.more_fragments && session.fragments < kMaxFragments) {
      ++session.fragments;
      RETURN_IF_ERROR(db::AdvanceSession(tx, session, options_.session_timeout));
      Answer next;
      next.action = ActionKind::kGetNextFragment;
      return next;
    }
    RETURN_IF_ERROR(db::CompleteInventory(tx, session.device_id));
    ASSIGN_OR_RETURN(std::optional<db::SlotCertificateRecord> active, ActiveWbm(tx, session.device_id));
    if (active) {
      // Certificates are not among all items (wpi.md 3.1): after a factory reset only this tells that ours is
      // gone.
      session.step = db::session_step::kReadBack;
      RETURN_IF_ERROR(db::AdvanceSession(tx, session, options_.session_timeout));
      return AskForInfo(Wbm());
    }
  }
  return Close(tx, session);
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnInspection(db::Tx& tx,
                                                                  const db::SessionRecord& session,
                                                                  const WorkpointMessage& message) {
  if (message.action == "ReadAllItems" || message.action == "GetNextFragment") {
    return AskForInfo(Wbm());  // again
  }
  const std::string info = InfoOf(Wbm(), message);
  if (message.status != ReplyStatus::kAccepted || info.empty()) return Close(tx, session);
  RETURN_IF_ERROR(db::SetReadBack(tx, session.device_id, kWbmSlot, info));
  ASSIGN_OR_RETURN(std::optional<db::SlotCertificateRecord> active, ActiveWbm(tx, session.device_id));
  const std::string serial = SerialOf(Wbm(), info);
  if (active && !serial.empty() && serial != ca::HexLower(active->serial)) {
    base::LogWarn("phone_certificate_changed", {{"device", session.device_id}, {"serial", serial}});
  }
  return Close(tx, session);
}

absl::StatusOr<std::optional<db::SlotCertificateRecord>> PhoneDialogue::ActiveWbm(db::Tx& tx,
                                                                                  std::int64_t device) {
  ASSIGN_OR_RETURN(std::vector<db::SlotRecord> slots, db::GetSlots(tx, device));
  for (db::SlotRecord& slot : slots) {
    if (slot.slot == kWbmSlot) return std::move(slot.active);
  }
  return std::optional<db::SlotCertificateRecord>();
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnPhoneCleanUp(db::Tx& tx, const Contact& contact) {
  const std::string why = Clip(contact.message.Value("cleanup-reason"), 200);
  for (const std::string& cookie : ReadSessionCookies(contact.request.cookie)) {
    ASSIGN_OR_RETURN(std::optional<db::SessionWork> work, db::FindSessionForUpdate(tx, CookieHash(cookie)));
    if (!work || !IsSessionOf(contact, work->session)) continue;
    if (work->job) {
      RETURN_IF_ERROR(Fail(tx, *work->job, db::job_reason::kPhoneCleanUp,
                           absl::StrCat("the phone ended the session", why.empty() ? "" : ": ", why), false));
    }
    RETURN_IF_ERROR(db::CloseSession(tx, work->session.id));
  }
  if (why == kPinRetriesExceeded) RETURN_IF_ERROR(OnPinRetriesExceeded(tx, contact));
  return Answer{};
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::Close(db::Tx& tx, const db::SessionRecord& session) {
  RETURN_IF_ERROR(db::CloseSession(tx, session.id));
  return Answer{};
}

}  // namespace phonepki::provisioning
