#include "provisioning/delivery/phone_dialogue.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cmath>

#include <absl/random/random.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/utf8.h"
#include "db/deployment_repository.h"
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

constexpr char kCookieName[] = "JSESSIONID";
constexpr int kMaxFragments = 200;
constexpr int kMaxAnchors = 10;
constexpr char kDefaultDoor[] = "default";
constexpr char kSecureDoor[] = "secure";
constexpr char kPinRetriesExceeded[] = "password retries exceeded";  // wpi.md 6.5

db::JobRecord AtAttempt(db::JobRecord job, const db::JobFence& fence) {
  job.attempt = fence.attempt;
  return job;
}

// A refusal that will be the same next time.
bool IsHopeless(const std::string& item_status) {
  for (const char* status :
       {"invalid data", "unknown item", "read only", "not supported", "unexpected item", "invalid index"}) {
    if (item_status == status) return true;
  }
  return false;
}

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

// Not in the middle of a character.
std::string Clip(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xc0) == 0x80) --limit;
  text.resize(limit);
  return text;
}

// Phones send what people type into them, in whatever encoding; the database takes UTF-8 only. An odd letter
// in a name must not keep a phone from registering.
void MakeUtf8(std::string& text) {
  if (ca::CountCharacters(text) >= 0) return;
  std::string clean;
  std::string_view rest = text;
  std::uint32_t character = 0;
  while (!rest.empty()) {
    if (!ca::NextCodePoint(&rest, &character)) {
      character = 0xfffd;
      rest.remove_prefix(1);
    }
    ca::AppendUtf8(character, &clean);
  }
  text = std::move(clean);
}

bool PlacementChanged(const db::DeviceRecord& before, const db::DeviceRecord& now) {
  return before.ip_address != now.ip_address || before.e164 != now.e164 ||
         before.device_type != now.device_type;
}

}  // namespace

absl::Duration BackOff(const DeliveryOptions& options, int attempts) {
  thread_local absl::BitGen random;
  const absl::Duration grown = options.retry_min * std::pow(2.0, std::clamp(attempts, 0, 20));
  return std::min(grown, options.retry_max) * absl::Uniform(random, 0.8, 1.2);
}

std::vector<std::string> ReadSessionCookies(const std::string& header) {
  std::vector<std::string> values;
  for (absl::string_view part : absl::StrSplit(header, absl::ByAnyChar(";,"))) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (absl::StripAsciiWhitespace(pair.first) != kCookieName) continue;
    const absl::string_view value = absl::StripAsciiWhitespace(pair.second);
    if (!value.empty() && value.size() <= 128) values.emplace_back(value);
  }
  return values;
}

std::string NewCookie() {
  unsigned char octets[16];
  RAND_bytes(octets, sizeof octets);
  return absl::AsciiStrToUpper(
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(octets), sizeof octets)));
}

base::Bytes CookieHash(const std::string& cookie) {
  return ca::Sha256(base::Bytes(cookie.begin(), cookie.end()));
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
    response.set_cookie = absl::StrCat(kCookieName, "=", answer.new_cookie, "; Path=/; Secure; HttpOnly");
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
      contact.secure() || (device->knock_valid && device->knock_address == contact.request.remote_address);
  if (job && caused_by_us) return StartDelivery(tx, *device, *job, contact);
  if (job) {
    RETURN_IF_ERROR(RecordUncalledFor(tx, contact, *known));
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
  db::SessionRecord session;
  session.device_id = device->id;
  session.door = contact.door;
  session.remote_address = contact.request.remote_address;
  session.step = db::session_step::kInventory;
  RETURN_IF_ERROR(db::OpenSession(tx, CookieHash(answer.new_cookie), session,
                                  phone::PrintReason(message.reason), options_.session_timeout));
  return answer;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::StartDelivery(db::Tx& tx, const db::DeviceRecord& device,
                                                                   const db::JobRecord& job,
                                                                   const Contact& contact) {
  absl::StatusOr<const CertificateSlot*> slot = SlotOf(job);
  absl::Status supported = slot.status();
  if (supported.ok()) {
    supported = options_.slots->CheckSupport(**slot, device.device_type, device.software_version);
  }
  if (!supported.ok()) {
    RETURN_IF_ERROR(Fail(tx, job, db::job_reason::kSlotNotSupported, std::string(supported.message()), true));
    return Answer{};
  }
  Answer answer;
  answer.action = ActionKind::kWriteItems;
  answer.new_cookie = NewCookie();
  answer.slot = *slot;
  db::SessionRecord session;
  session.device_id = device.id;
  session.door = contact.door;
  session.remote_address = contact.request.remote_address;
  session.step = db::session_step::kWrite;
  ASSIGN_OR_RETURN(session.job,
                   db::OpenJobSession(tx, CookieHash(answer.new_cookie), session, job.id,
                                      phone::PrintReason(contact.message.reason), options_.session_timeout));
  if (answer.slot->holds == CertificateSlot::Holds::kCaCertificates) {
    ASSIGN_OR_RETURN(std::vector<base::Bytes> anchors,
                     db::ListDeployedAnchors(tx, job.deployment_id, kMaxAnchors));
    answer.items = CaItems(*answer.slot, anchors);
    return answer;
  }
  if (answer.slot->proof == CertificateSlot::Proof::kSecureContact) {
    ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job.deployment_id));
    absl::StatusOr<EnrolmentPlan> plan = enrolment_.Plan(tx, device, deployment);
    if (absl::IsFailedPrecondition(plan.status())) {
      RETURN_IF_ERROR(Fail(tx, AtAttempt(job, *session.job), base::ReasonOf(plan.status()),
                           std::string(plan.status().message()), true));
      RETURN_IF_ERROR(db::CloseSessionsOfDevice(tx, device.id));
      return Answer{};
    }
    RETURN_IF_ERROR(plan.status());
    answer.enrolment = *std::move(plan);
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
                       *session.job,
                       deployment.connector_id,
                       {device.mac, device.ip_address, device.fqdn, device.e164, location.display_name}};
  return answer;
}

absl::StatusOr<const CertificateSlot*> PhoneDialogue::SlotOf(const db::JobRecord& job) const {
  if (const CertificateSlot* slot = options_.slots->Find(job.slot)) return slot;
  return absl::NotFoundError(absl::StrCat("the server's slot table has no slot ", job.slot, " any more"));
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
  const std::string info = InfoOf(*slot, message);
  RETURN_IF_ERROR(db::SetReadBack(tx, session.device_id, job.slot, info));
  const std::string serial = SerialOf(*slot, info);
  if (!serial.empty() && !work.certificate_serial.empty() &&
      ca::HexLower(work.certificate_serial) != serial) {
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

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::Succeed(db::Tx& tx, const db::SessionRecord& session,
                                                             const db::JobRecord& job,
                                                             const std::string& reason,
                                                             const std::string& text) {
  db::JobRelease release{*session.job, db::job_state::kSucceeded, reason, text};
  release.unanswered = db::JobRelease::Unanswered::kReset;
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {release}).status());
  if (job.certificate_id) {
    RETURN_IF_ERROR(
        db::ActivateCertificates(tx, {job.device_id}, job.slot, {*job.certificate_id}, options_.erase_keys));
  }
  ASSIGN_OR_RETURN(bool more, db::FinishJobSession(tx, session));
  Answer answer;
  if (more) answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
  return answer;
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

absl::Status PhoneDialogue::Fail(db::Tx& tx, const db::JobRecord& job, const std::string& reason,
                                 const std::string& text, bool final) {
  db::JobRelease release{{job.id, job.attempt}, db::job_state::kDeferred, reason, text};
  release.add_failures = 1;
  release.delay = BackOff(options_, job.failures);
  if (final || job.failures + 1 >= options_.max_failures) release.state = db::job_state::kFailed;
  RETURN_IF_ERROR(db::ForgetKnock(tx, job.device_id));
  return db::ReleaseJobs(tx, {release}).status();
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::Close(db::Tx& tx, const db::SessionRecord& session) {
  RETURN_IF_ERROR(db::CloseSession(tx, session.id));
  return Answer{};
}

}  // namespace phonepki::provisioning
