#include "provisioning/manual/phone_settings.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "ca/x509/certificate_file.h"
#include "db/setting_repository.h"
#include "db/slot_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr char kOcspSlot[] = "ocsp";
constexpr std::size_t kMaxReason = 1000;
constexpr std::size_t kMaxResponders = 2;

// Members of a JSON object, without its braces.
std::string AuditDetail(const nlohmann::ordered_json& detail) {
  const std::string text = detail.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

absl::Status CheckResponder(const std::string& address) {
  const bool fine =
      !address.empty() && address.size() <= 255 && std::all_of(address.begin(), address.end(), [](char c) {
        return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
      });
  if (fine) return absl::OkStatus();
  return base::InvalidField("responders", "RESPONDER",
                            "must be a host name or an IP address, with a port where needed, and no URL");
}

}  // namespace

struct PhoneSettings::Server {
  base::Bytes leaf;  // empty: not known
  std::vector<base::Bytes> parents;
};

absl::Status PhoneSettings::Guard(db::Tx& tx, const db::DeviceRecord& device, const CertificateSlot& policy,
                                  const Server& server) const {
  std::vector<base::Bytes> anchors;
  for (const std::string& slot : policy.needs_ca) {
    ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places, db::ListCaPlaces(tx, device.id, slot));
    for (const db::CaPlaceRecord& place : places) {
      const bool lives = place.active && place.active->not_after > clock_.Now();
      if (lives && place.wanted != db::CaPlaceRecord::Wanted::kRemove) anchors.push_back(place.active->der);
    }
  }
  const std::string where = absl::StrJoin(policy.needs_ca, " or ");
  if (policy.needs_ca.empty()) return absl::OkStatus();
  if (anchors.empty()) {
    return RefusedForDevice(
        "NO_MATCHING_CA",
        absl::StrCat("the phone is not known to hold a CA certificate in ", where,
                     " and could not reach its server any more; bring the CA first, or say why not"));
  }
  if (server.leaf.empty() || ca::VerifyChain(server.leaf, server.parents, anchors, clock_.Now()).ok()) {
    return absl::OkStatus();
  }
  return RefusedForDevice("NO_MATCHING_CA",
                          absl::StrCat("no CA certificate that the phone holds in ", where,
                                       " is that of the given server certificate; bring its CA first, or say "
                                       "why not"));
}

absl::StatusOr<std::vector<DeviceOutcome>> PhoneSettings::SetVerification(const Selection& selection,
                                                                          const Verification& wanted,
                                                                          const std::string& actor) {
  const std::vector<std::string> services = slots_.PolicyServices();
  if (std::find(services.begin(), services.end(), wanted.service) == services.end()) {
    return base::InvalidField("service", "SERVICE",
                              absl::StrCat("must be one of ", absl::StrJoin(services, ", ")));
  }
  if (wanted.override_reason.size() > kMaxReason) {
    return base::InvalidField("override_reason", "OVERRIDE_REASON", "at most 1000 characters");
  }
  Server server;
  if (!wanted.server_certificates.empty()) {
    ASSIGN_OR_RETURN(ca::CertificateFile file,
                     base::WithField(ca::ReadCertificateFile(wanted.server_certificates, base::Secret()),
                                     "server_certificates"));
    if (!file.leaf) {
      return base::InvalidField("server_certificates", "NOT_A_SERVER_CERTIFICATE",
                                "must hold the certificate of the server itself, not only of CAs");
    }
    server.leaf = *file.leaf;
    server.parents = file.chain;
    server.parents.insert(server.parents.end(), file.others.begin(), file.others.end());
  }
  const Act act{"policy.set", actor,
                AuditDetail({{"service", wanted.service},
                             {"level", wanted.level},
                             {"override_reason", wanted.override_reason}}),
                kMaxSettingDevices, wanted.validate_only};
  return ForEachSelected(
      database_, selection, act, on_jobs_,
      [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
        absl::StatusOr<const CertificateSlot*> policy =
            slots_.PolicyFor(wanted.service, device.device_type, device.software_version);
        outcome.status = policy.status();
        if (!policy.ok()) return absl::OkStatus();
        const SettingItem& item = (*policy)->settings.front();
        std::vector<std::string> levels;
        for (const auto& [word, value] : item.values) levels.push_back(word);
        if (std::find(levels.begin(), levels.end(), wanted.level) == levels.end()) {
          outcome.status =
              RefusedForDevice("LEVEL_NOT_SUPPORTED", absl::StrCat((*policy)->title, " of this phone can be ",
                                                                   absl::StrJoin(levels, " or "), " only"));
          return absl::OkStatus();
        }
        bool overridden = false;
        if (wanted.level != kLevelNone) {
          const absl::Status guard = Guard(tx, device, **policy, server);
          if (!absl::IsFailedPrecondition(guard)) RETURN_IF_ERROR(guard);
          overridden = !guard.ok();
          if (overridden && wanted.override_reason.empty()) outcome.status = guard;
          if (!outcome.status.ok()) return absl::OkStatus();
        }
        outcome.message = absl::StrCat((*policy)->title, ": ", wanted.level,
                                       overridden ? ", though the phone may lose its server by it" : "");
        RETURN_IF_ERROR(db::WantSettings(tx, device.id, (*policy)->name, {item.key}, {wanted.level},
                                         overridden ? wanted.override_reason : ""));
        return StartManualJob(tx, device, (*policy)->name, std::nullopt, job_deadline_, outcome);
      });
}

absl::StatusOr<std::vector<DeviceOutcome>> PhoneSettings::SetOcsp(const Selection& selection, bool check,
                                                                  const std::vector<std::string>& responders,
                                                                  bool validate_only,
                                                                  const std::string& actor) {
  const CertificateSlot* slot = slots_.Find(kOcspSlot);
  if (slot == nullptr || slot->holds != CertificateSlot::Holds::kSettings) {
    return base::WithReason(
        absl::FailedPreconditionError("the server's slot table has no settings named ocsp (slots.file)"),
        "SLOT_NOT_SUPPORTED");
  }
  if (responders.size() > kMaxResponders) {
    return base::InvalidField("responders", "RESPONDER", "at most two");
  }
  for (const std::string& responder : responders) RETURN_IF_ERROR(CheckResponder(responder));
  std::vector<std::string> keys, values;
  for (const SettingItem& item : slot->settings) {
    keys.push_back(item.key);
    if (!item.values.empty()) {
      values.emplace_back(check ? "on" : "off");
    } else {
      // An address that is not given empties its place.
      const std::size_t place = static_cast<std::size_t>(std::count_if(
          slot->settings.data(), &item, [](const SettingItem& before) { return before.values.empty(); }));
      values.push_back(place < responders.size() ? responders[place] : "");
    }
  }
  const Act act{"ocsp.set", actor, AuditDetail({{"check", check}, {"responders", responders}}),
                kMaxSettingDevices, validate_only};
  return ForEachSelected(
      database_, selection, act, on_jobs_,
      [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
        outcome.status = slots_.CheckSupport(*slot, device.device_type, device.software_version);
        if (!outcome.status.ok()) return absl::OkStatus();
        outcome.message =
            check ? absl::StrCat("OCSP on", responders.empty() ? "" : ": ", absl::StrJoin(responders, ", "))
                  : "OCSP off";
        RETURN_IF_ERROR(db::WantSettings(tx, device.id, slot->name, keys, values, ""));
        return StartManualJob(tx, device, slot->name, std::nullopt, job_deadline_, outcome);
      });
}

absl::StatusOr<std::string> PolicyThatNeeds(db::Tx& tx, const SlotTable& slots,
                                            const db::DeviceRecord& device, const CertificateSlot& slot,
                                            const std::vector<std::int64_t>& positions, absl::Time now) {
  const auto goes = [&](const db::CaPlaceRecord& place) {
    return place.wanted == db::CaPlaceRecord::Wanted::kRemove ||
           (place.slot == slot.name &&
            std::find(positions.begin(), positions.end(), place.position) != positions.end());
  };
  for (const CertificateSlot& policy : slots.slots()) {
    if (std::find(policy.needs_ca.begin(), policy.needs_ca.end(), slot.name) == policy.needs_ca.end())
      continue;
    // One of the firmware that the phone had before is in force no longer.
    if (!slots.CheckSupport(policy, device.device_type, device.software_version).ok()) continue;
    ASSIGN_OR_RETURN(std::vector<db::SettingRecord> settings, db::ListSettings(tx, device.id, policy.name));
    for (const db::SettingRecord& setting : settings) {
      if (setting.wanted == kLevelNone && setting.confirmed.value_or(kLevelNone) == kLevelNone) continue;
      int left = 0;
      for (const std::string& name : policy.needs_ca) {
        ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places, db::ListCaPlaces(tx, device.id, name));
        left +=
            static_cast<int>(std::count_if(places.begin(), places.end(), [&](const db::CaPlaceRecord& place) {
              return place.active && place.active->not_after > now && !goes(place);
            }));
      }
      if (left == 0) return policy.title;
    }
  }
  return std::string();
}

}  // namespace phonepki::provisioning
