#include "provisioning/delivery/secure_enrolment.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/certificate_repository.h"
#include "db/location_repository.h"
#include "provisioning/secure_mode/pin.h"

namespace phonepki::provisioning {
namespace {

using phone::Item;

// Two places on the phone: what the door presents now, and what it will present or did (wpi.md 6.2).
constexpr int kServerCas = static_cast<int>(kMaxPhoneTrust);

// Nobody: the default PIN.
std::optional<std::int64_t> PinOwner(std::int64_t device_id, const std::string& mode) {
  return mode == pin_mode::kIndividual ? std::optional<std::int64_t>(device_id) : std::nullopt;
}

}  // namespace

absl::StatusOr<EnrolmentPlan> SecureEnrolment::Plan(db::Tx& tx, const db::DeviceRecord& device,
                                                    const db::JobRecord& job) const {
  EnrolmentPlan plan;
  ASSIGN_OR_RETURN(std::vector<base::Bytes> trust, credentials_.PhoneTrust(tx));
  std::vector<base::Bytes> digests;
  for (const base::Bytes& certificate : trust) {
    plan.server_cas.push_back(ca::ToPem(certificate));
    digests.push_back(ca::Sha256(certificate));
  }
  RETURN_IF_ERROR(db::RecordGivenTrust(tx, job.id, device.id, digests));
  ASSIGN_OR_RETURN(std::vector<db::LocationRecord> location,
                   db::GetLocationsWithoutRules(tx, {device.location_id}));
  const int own_port = location.empty() ? 0 : location[0].server.secure_port;
  plan.secure_port = own_port == 0 ? options_.secure_port : own_port;
  plan.renewal = device.security_state == db::security_state::kSecure;
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, db::FindDeployment(tx, job.deployment_id));
  plan.mode = plan.renewal ? pin_mode::kNone : deployment.pin_mode;
  if (plan.mode != pin_mode::kNone) {
    ASSIGN_OR_RETURN(plan.pin, pins_.ForEnrolment(tx, PinOwner(device.id, plan.mode)));
  }
  return plan;
}

absl::StatusOr<std::vector<Item>> SecureEnrolment::Items(const EnrolmentPlan& plan, Item certificate) const {
  std::vector<Item> credentials;
  credentials.push_back(std::move(certificate));
  for (int i = 0; i < kServerCas; ++i) {
    credentials.push_back(
        {"dls-server-ca", i, i < static_cast<int>(plan.server_cas.size()) ? plan.server_cas[i] : "", ""});
  }
  credentials.push_back({"dls-secure-port", std::nullopt, absl::StrCat(plan.secure_port), ""});
  if (plan.renewal) return credentials;
  if (plan.mode == pin_mode::kNone) {
    credentials.insert(credentials.begin(), {"goto-secure-mode", std::nullopt, "nopin", ""});
    return credentials;
  }
  std::vector<SecureModeItem> packed;
  for (Item& item : credentials) {
    packed.push_back({item.name, item.index, base::Secret(item.value)});
    base::WipeMemory(item.value.data(), item.value.size());
  }
  ASSIGN_OR_RETURN(std::string data, codec_.Seal(packed, PasswordOfPin(plan.pin)));
  return std::vector<Item>{{"goto-secure-mode", std::nullopt, "pin", ""},
                           {"secure-mode-data", std::nullopt, std::move(data), ""},
                           {"max-pin-retries", std::nullopt, absl::StrCat(options_.max_pin_retries), ""}};
}

absl::Status SecureEnrolment::Written(db::Tx& tx, const db::DeviceRecord& device, const db::JobRecord& job,
                                      const db::JobFence& fence, const std::string& mode) const {
  const bool pin = mode != pin_mode::kNone;
  db::JobRelease release{fence, db::job_state::kVerifying,
                         pin ? db::job_reason::kAwaitingPin : db::job_reason::kAwaitingSecureContact,
                         pin ? "the phone has its credentials; somebody must type the PIN at it"
                             : "the phone has its credentials; it is to call the secure door"};
  release.unanswered = db::JobRelease::Unanswered::kReset;
  // A phone that lost the answer to its acceptance keeps nothing, and it looks the same from here as one that
  // is on its way: it is asked again. One that awaits a PIN must not be disturbed.
  release.delay = pin ? WaitForPin(job) : std::max(options_.retry_max, options_.knock_lifetime);
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {release}).status());
  if (device.security_state == db::security_state::kSecure) {
    return db::AppendSecurityStateEvent(tx, device.id, "new credentials are on the phone");
  }
  return db::SetSecurityState(
      tx, {device.id}, pin ? db::security_state::kAwaitingPin : db::security_state::kEnrolling,
      pin ? "Awaiting PIN: credentials are on the phone" : "credentials are on the phone");
}

absl::StatusOr<SecureEnrolment::Tan> SecureEnrolment::CheckTan(db::Tx& tx, std::int64_t device_id,
                                                               const std::string& mode,
                                                               const std::string& tan) const {
  ASSIGN_OR_RETURN(std::optional<base::Secret> pin, pins_.ForTan(tx, PinOwner(device_id, mode)));
  if (!pin) return Tan::kPinExpired;
  return TanMatches(*pin, tan) ? Tan::kRight : Tan::kWrong;
}

absl::Status SecureEnrolment::Complete(db::Tx& tx, const db::JobRecord& job,
                                       const db::JobFence& fence) const {
  db::JobRelease release{fence, db::job_state::kSucceeded, db::job_reason::kVerified,
                         "the phone called the secure door with its new certificate"};
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {release}).status());
  return Admit(tx, job.device_id, job.certificate_id.value_or(0),
               "in secure mode: mutual TLS with the new certificate");
}

absl::Status SecureEnrolment::CompleteLate(db::Tx& tx, std::int64_t device_id,
                                           std::int64_t certificate_id) const {
  return Admit(tx, device_id, certificate_id,
               "in secure mode: mutual TLS with the certificate of an enrolment that had ended");
}

absl::Status SecureEnrolment::Admit(db::Tx& tx, std::int64_t device_id, std::int64_t certificate_id,
                                    const std::string& text) const {
  RETURN_IF_ERROR(db::ActivateCertificates(tx, {device_id}, db::kClientCertificateSlot, {certificate_id},
                                           options_.erase_keys));
  RETURN_IF_ERROR(db::DiscardFormerEnrolments(tx, device_id));
  RETURN_IF_ERROR(db::SetSecurityState(tx, {device_id}, db::security_state::kSecure, text));
  RETURN_IF_ERROR(db::ResetTanFailures(tx, device_id));
  return db::DeleteDevicePin(tx, device_id);
}

absl::Status SecureEnrolment::Fail(db::Tx& tx, const db::JobRecord& job, const db::JobFence& fence,
                                   const std::string& state, const std::string& reason,
                                   const std::string& text) const {
  // First the state: the end of the job would otherwise set it (V0011).
  RETURN_IF_ERROR(db::SetSecurityState(tx, {job.device_id}, state, text));
  RETURN_IF_ERROR(db::ReleaseJobs(tx, {{fence, db::job_state::kFailed, reason, text}}).status());
  if (!job.certificate_id) return absl::OkStatus();
  return db::DiscardCertificates(tx, {*job.certificate_id});
}

absl::Duration WaitForPin(const db::JobRecord& job) {
  return job.deadline - absl::Now() + absl::Hours(1);
}

}  // namespace phonepki::provisioning
