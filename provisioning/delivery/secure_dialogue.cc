// The half of the dialogue that is about who is there: callers of the secure door, strangers at the default
// one, and the phone's first call with its new certificate.
#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/network_name.h"
#include "db/deployment_repository.h"
#include "provisioning/delivery/phone_dialogue.h"
#include "provisioning/delivery/session_cookie.h"

namespace phonepki::provisioning {
namespace {

constexpr char kTanItem[] = "bootstrapping-tan";

bool IsLive(const db::ClientCertificateRecord& certificate) {
  return certificate.slot == db::kClientCertificateSlot && !certificate.expired &&
         (certificate.state == "active" || certificate.state == "issued");
}

}  // namespace

absl::Status PhoneDialogue::Record(db::Tx& tx, const Contact& contact, const std::string& kind,
                                   const std::string& detail) {
  // Replies do not say whose they are; the certificate does.
  return watch_.Record(tx, kind, contact.door, contact.request.remote_address,
                       contact.secure() ? contact.caller->mac : contact.mac, detail);
}

void PhoneDialogue::OnRefused(const phone::RefusedClient& refused) {
  const absl::Status status = database_.InTransaction("client_refused", [&](db::Tx& tx) {
    return watch_.Record(
        tx, refused.reason, "secure", refused.address, "",
        refused.certificate.empty()
            ? ""
            : absl::StrCat("certificate with SHA-256 ", ca::HexLower(ca::Sha256(refused.certificate))));
  });
  if (!status.ok()) base::LogWarn("security_event_not_stored", {{"error", status}});
}

absl::StatusOr<std::optional<db::ClientCertificateRecord>> PhoneDialogue::Identify(
    db::Tx& tx, const phone::HttpRequest& request, const std::string& mac) {
  ASSIGN_OR_RETURN(std::optional<db::ClientCertificateRecord> found,
                   db::FindClientCertificate(tx, ca::Sha256(request.client_certificate)));
  const auto refuse =
      [&](const char* kind,
          const std::string& detail) -> absl::StatusOr<std::optional<db::ClientCertificateRecord>> {
    RETURN_IF_ERROR(watch_.Record(tx, kind, "secure", request.remote_address, mac, detail));
    return std::optional<db::ClientCertificateRecord>();
  };
  if (!found)
    return refuse(security_event::kUnknownCertificate, "issued by our CA, but to no phone that we know");
  if (!IsLive(*found)) {
    return refuse(security_event::kFormerCertificate,
                  absl::StrCat("a certificate of ", found->mac, " that is ",
                               found->expired ? "expired" : found->state));
  }
  if (!mac.empty() && mac != found->mac) {
    return refuse(security_event::kOtherPhonesCertificate,
                  absl::StrCat("the certificate is of ", found->mac));
  }
  return found;
}

bool PhoneDialogue::IsSessionOf(const Contact& contact, const db::SessionRecord& session) {
  if (session.door != contact.door) return false;
  if (contact.secure()) return session.device_id == contact.caller->device_id;
  return ca::IsSameIp(session.remote_address, contact.request.remote_address);
}

absl::StatusOr<bool> PhoneDialogue::MayTalkInDefaultMode(db::Tx& tx, const Contact& contact,
                                                         const std::optional<db::DeviceRecord>& device) {
  using namespace db::security_state;
  if (!device || (device->security_state != kSecure && device->security_state != kDesynchronised))
    return true;
  RETURN_IF_ERROR(Record(tx, contact, security_event::kDefaultModeRefused,
                         "this phone is in secure mode: it was reset at the desk, or somebody poses as it"));
  if (device->security_state == kSecure) {
    // B-069: secure here, default there. Only a person can tell which it is.
    RETURN_IF_ERROR(db::SetSecurityState(
        tx, {device->id}, kDesynchronised,
        absl::StrCat("calls in default mode from ", contact.request.remote_address,
                     ": reset to default security, or an impostor; re-enrol it if it is yours")));
  }
  return false;
}

absl::Status PhoneDialogue::OnReturnFromEnrolment(db::Tx& tx, const db::DeviceRecord& device) {
  ASSIGN_OR_RETURN(std::optional<db::JobRecord> job,
                   db::FindEnrolmentJob(tx, device.id, db::kClientCertificateSlot));
  if (!job || job->state != db::job_state::kVerifying ||
      job->reason != db::job_reason::kAwaitingSecureContact) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(db::AppendSecurityStateEvent(
      tx, device.id, "calls in default mode again: it did not reach the secure door, or did not trust it"));
  return Fail(tx, *job, db::job_reason::kSecureContactFailed,
              "the phone calls in default mode again: it did not reach the secure door, or did not trust it",
              false);
}

absl::Status PhoneDialogue::RecordUncalledFor(db::Tx& tx, const Contact& contact,
                                              const db::DeviceRecord& device) {
  if (contact.message.reason != phone::Reason::kSolicited) return absl::OkStatus();
  if (device.knock_address.empty()) {
    return Record(tx, contact, security_event::kNoKnock, "says that we asked it to call; we did not");
  }
  if (!ca::IsSameIp(device.knock_address, contact.request.remote_address)) {
    return Record(tx, contact, security_event::kOtherAddress,
                  absl::StrCat("we asked the phone at ", device.knock_address));
  }
  return Record(tx, contact, security_event::kKnockExpired, "came too late for what it was asked to fetch");
}

absl::StatusOr<std::optional<PhoneDialogue::Answer>> PhoneDialogue::OnSecureContact(
    db::Tx& tx, const Contact& contact, db::DeviceRecord& device) {
  if (contact.caller->state == "active") {
    if (device.security_state == db::security_state::kSecure) return std::optional<Answer>();
    // An operator may have revoked it between the look at the certificate and the lock of the device.
    ASSIGN_OR_RETURN(std::optional<db::ClientCertificateRecord> still,
                     Identify(tx, contact.request, contact.mac));
    if (!still) {
      Answer refusal;
      refusal.refused = true;
      return std::optional<Answer>(std::move(refusal));
    }
    device.security_state = db::security_state::kSecure;
    RETURN_IF_ERROR(db::SetSecurityState(tx, {device.id}, device.security_state,
                                         "in secure mode: calls with its certificate"));
    return std::optional<Answer>();
  }
  ASSIGN_OR_RETURN(std::optional<db::JobRecord> job,
                   db::FindEnrolmentJob(tx, device.id, db::kClientCertificateSlot));
  if (!job || job->certificate_id != contact.caller->certificate_id) {
    bool refused = false;
    ASSIGN_OR_RETURN(job, OnLateContact(tx, contact, device, job.has_value(), refused));
    if (refused) {
      Answer refusal;
      refusal.refused = true;
      return std::optional<Answer>(std::move(refusal));
    }
    if (!job) {
      device.security_state = db::security_state::kSecure;
      return std::optional<Answer>();
    }
  }
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job->deployment_id));
  const bool renewal = device.security_state == db::security_state::kSecure;
  if (deployment.pin_mode != pin_mode::kNone && !renewal) {
    ASSIGN_OR_RETURN(Answer answer, AskForTan(tx, contact, device, *job));
    return std::optional<Answer>(std::move(answer));
  }
  RETURN_IF_ERROR(enrolment_.Complete(tx, *job, {job->id, job->attempt}));
  device.security_state = db::security_state::kSecure;
  return std::optional<Answer>();
}

// The phone lives on credentials that it got before its job timed out, was cancelled or superseded. It proves
// that it is the phone just as well as in time, and who refuses it sends somebody to the desk.
absl::StatusOr<std::optional<db::JobRecord>> PhoneDialogue::OnLateContact(db::Tx& tx, const Contact& contact,
                                                                          const db::DeviceRecord& device,
                                                                          bool another, bool& refused) {
  ASSIGN_OR_RETURN(std::optional<db::EndedEnrolmentRecord> ended,
                   db::FindEndedEnrolment(tx, device.id, contact.caller->certificate_id));
  const bool renewal = device.security_state == db::security_state::kSecure;
  const auto refuse = [&](const char* detail) -> absl::StatusOr<std::optional<db::JobRecord>> {
    refused = true;
    RETURN_IF_ERROR(Record(tx, contact, security_event::kFormerCertificate, detail));
    return std::optional<db::JobRecord>();
  };
  if (!ended) return refuse("its enrolment was given up before the phone called with it");
  if (ended->state == db::job_state::kCancelled && !renewal) {
    return refuse("its enrolment was cancelled before the phone called with it: retry the job to let it in");
  }
  if (!another) {
    RETURN_IF_ERROR(db::ResumeEnrolment(tx, ended->job_id));
    return db::FindEnrolmentJob(tx, device.id, db::kClientCertificateSlot);
  }
  // There is no session that could ask for the TAN of an earlier PIN.
  if (ended->pin_mode != pin_mode::kNone && !renewal) {
    return refuse("a later enrolment took the place of the one that the phone calls with");
  }
  RETURN_IF_ERROR(enrolment_.CompleteLate(tx, device.id, contact.caller->certificate_id));
  return std::optional<db::JobRecord>();
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::AskForTan(db::Tx& tx, const Contact& contact,
                                                               const db::DeviceRecord& device,
                                                               const db::JobRecord& job) {
  Answer answer;
  answer.action = phone::ActionKind::kReadItems;
  answer.items.push_back({kTanItem, std::nullopt, "", ""});
  answer.new_cookie = NewCookie();
  RETURN_IF_ERROR(db::OpenJobSession(tx, CookieHash(answer.new_cookie),
                                     NewSession(contact, device.id, db::session_step::kTan), job.id,
                                     phone::PrintReason(contact.message.reason), options_.session_timeout,
                                     db::job_reason::kAwaitingPin,
                                     "the phone called the secure door and is asked for the TAN")
                      .status());
  return answer;
}

absl::StatusOr<PhoneDialogue::Answer> PhoneDialogue::OnTan(db::Tx& tx, const Contact& contact,
                                                           const db::SessionWork& work) {
  if (!work.job) return Close(tx, work.session);
  const db::JobRecord& job = *work.job;
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job.deployment_id));
  ASSIGN_OR_RETURN(SecureEnrolment::Tan tan, enrolment_.CheckTan(tx, job.device_id, deployment.pin_mode,
                                                                 contact.message.Value(kTanItem)));
  if (tan == SecureEnrolment::Tan::kRight) {
    RETURN_IF_ERROR(enrolment_.Complete(tx, job, *work.session.job));
    ASSIGN_OR_RETURN(bool more, db::FinishJobSession(tx, work.session));
    Answer answer;
    if (more) answer.items.push_back({"send-solicited", std::nullopt, "true", ""});
    return answer;
  }
  if (tan == SecureEnrolment::Tan::kPinExpired) {
    RETURN_IF_ERROR(enrolment_.Fail(tx, job, *work.session.job, db::security_state::kDefault,
                                    db::job_reason::kPinExpired,
                                    "the PIN was typed at the phone after it had expired"));
  } else {
    RETURN_IF_ERROR(
        Record(tx, contact, security_event::kWrongTan, "has the credentials, but not the end of the PIN"));
    RETURN_IF_ERROR(db::IncrementTanFailures(tx, job.device_id).status());
    RETURN_IF_ERROR(enrolment_.Fail(tx, job, *work.session.job, db::security_state::kDefault,
                                    db::job_reason::kWrongTan, "wrong TAN from device"));
  }
  RETURN_IF_ERROR(db::CloseSession(tx, work.session.id));
  Answer answer;
  answer.items.push_back({"cleanup-reason", std::nullopt, "wrong TAN from device", ""});
  return answer;
}

absl::Status PhoneDialogue::OnPinRetriesExceeded(db::Tx& tx, const Contact& contact) {
  if (contact.mac.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::optional<db::DeviceRecord> device, db::FindDeviceForUpdate(tx, contact.mac));
  // Anybody can say so in default mode; believed is only the phone that was enrolled, from where it was.
  if (!device || device->security_state != db::security_state::kAwaitingPin ||
      !ca::IsSameIp(device->ip_address, contact.request.remote_address)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Record(tx, contact, security_event::kPinRetriesExceeded,
                         "too many wrong PINs were typed at the phone"));
  ASSIGN_OR_RETURN(std::optional<db::JobRecord> job,
                   db::FindEnrolmentJob(tx, device->id, db::kClientCertificateSlot));
  if (!job) {
    return db::SetSecurityState(tx, {device->id}, db::security_state::kPinExhausted,
                                "too many wrong PINs were typed at the phone");
  }
  return enrolment_.Fail(tx, *job, {job->id, job->attempt}, db::security_state::kPinExhausted,
                         db::job_reason::kPinRetriesExceeded, "too many wrong PINs were typed at the phone");
}

}  // namespace phonepki::provisioning
