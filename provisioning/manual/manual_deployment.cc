#include "provisioning/manual/manual_deployment.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/slot_repository.h"
#include "provisioning/manual/phone_settings.h"

namespace phonepki::provisioning {
namespace {

using Wanted = db::CaPlaceRecord::Wanted;

bool HoldsCas(const CertificateSlot& slot) {
  return slot.holds == CertificateSlot::Holds::kCaCertificates;
}

// Positions of the CA certificates with that digest, all when it is empty; by what `of` looks at.
template <typename Of>
std::vector<std::int64_t> PositionsOf(const std::vector<db::CaPlaceRecord>& places, const std::string& sha256,
                                      Of of) {
  std::vector<std::int64_t> positions;
  for (const db::CaPlaceRecord& place : places) {
    const std::optional<db::TrustedCaRecord>& ca = of(place);
    if (ca && (sha256.empty() || ca::HexLower(ca->sha256) == sha256)) positions.push_back(place.position);
  }
  return positions;
}

absl::Status NothingThere(const char* which, const CertificateSlot& slot, const std::string& sha256) {
  return RefusedForDevice(absl::StrCat("NOTHING_", which[0] == 'i' ? "IMPORTED" : "ACTIVE"),
                          absl::StrCat("the phone has no ", which, " ", slot.title,
                                       sha256.empty() ? "" : " with this fingerprint"));
}

}  // namespace

absl::StatusOr<const CertificateSlot*> ManualDeployment::SlotFor(const std::string& name) const {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, slots_.Get(name, "certificate_type"));
  if (slot->proof == CertificateSlot::Proof::kSecureContact) {
    return base::InvalidField("certificate_type", "CERTIFICATE_TYPE",
                              "phones get their credentials by enrolment into secure mode, not by hand");
  }
  return slot;
}

absl::StatusOr<std::vector<DeviceOutcome>> ManualDeployment::ForEach(const char* name,
                                                                     const Selection& selection,
                                                                     const CertificateSlot& slot,
                                                                     bool validate_only,
                                                                     const std::string& actor, ActOn act_on) {
  const Act act{name, actor, absl::StrCat("\"slot\": \"", slot.name, "\""), kMaxSelectedDevices,
                validate_only};
  return ForEachSelected(database_, selection, act, on_jobs_,
                         [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) {
                           outcome.status =
                               slots_.CheckSupport(slot, device.device_type, device.software_version);
                           return outcome.status.ok() ? act_on(tx, device, outcome) : absl::OkStatus();
                         });
}

absl::StatusOr<absl::Status> ManualDeployment::NothingUnderWay(db::Tx& tx, const db::DeviceRecord& device,
                                                               const CertificateSlot& slot) {
  ASSIGN_OR_RETURN(std::optional<std::int64_t> job, db::FindManualJobUnderWay(tx, device.id, slot.name));
  if (!job) return absl::OkStatus();
  return RefusedForDevice("JOB_UNDER_WAY",
                          absl::StrCat("jobs/", *job,
                                       " is bringing a certificate to the phone right now; wait "
                                       "for its end, or cancel it"));
}

absl::Status ManualDeployment::ActivateOn(db::Tx& tx, const db::DeviceRecord& device,
                                          const CertificateSlot& slot, DeviceOutcome& outcome) const {
  outcome.message = "goes to the phone";
  if (HoldsCas(slot)) {
    ASSIGN_OR_RETURN(bool any, db::WantCaActivation(tx, device.id, slot.name));
    if (any) return StartManualJob(tx, device, slot.name, std::nullopt, job_deadline_, outcome);
    outcome.status = NothingThere("imported", slot, "");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(db::LeafSlotRecord leaf, db::GetLeafSlot(tx, device.id, slot.name));
  if (!leaf.imported_id) {
    outcome.status = NothingThere("imported", slot, "");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(db::DeliverableRecord deliverable, db::GetDeliverable(tx, *leaf.imported_id));
  if (deliverable.wrapped_key.empty()) {
    outcome.status =
        RefusedForDevice("KEY_ERASED",
                         "it was active on the phone before, and its private key has been erased since; "
                         "import it again");
    return absl::OkStatus();
  }
  return StartManualJob(tx, device, slot.name, leaf.imported_id, job_deadline_, outcome);
}

absl::StatusOr<std::vector<DeviceOutcome>> ManualDeployment::Activate(const Selection& selection,
                                                                      const std::string& slot_name,
                                                                      bool validate_only,
                                                                      const std::string& actor) {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotFor(slot_name));
  return ForEach("certificate.activate", selection, *slot, validate_only, actor,
                 [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) {
                   return ActivateOn(tx, device, *slot, outcome);
                 });
}

absl::StatusOr<std::vector<DeviceOutcome>> ManualDeployment::DeleteImported(const Selection& selection,
                                                                            const std::string& slot_name,
                                                                            const std::string& sha256,
                                                                            bool validate_only,
                                                                            const std::string& actor) {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotFor(slot_name));
  return ForEach("certificate.delete_imported", selection, *slot, validate_only, actor,
                 [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
                   outcome.message = "is not imported any more";
                   if (HoldsCas(*slot)) {
                     ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places,
                                      db::ListCaPlaces(tx, device.id, slot->name));
                     const std::vector<std::int64_t> positions = PositionsOf(
                         places, sha256, [](const auto& place) -> const auto& { return place.imported; });
                     if (positions.empty()) outcome.status = NothingThere("imported", *slot, sha256);
                     if (positions.empty()) return absl::OkStatus();
                     RETURN_IF_ERROR(db::ClearImportedCas(tx, device.id, slot->name, positions));
                     // A job under way goes on with the rest of what it was to do.
                     const auto gone = [&](const db::CaPlaceRecord& place) {
                       return std::find(positions.begin(), positions.end(), place.position) !=
                              positions.end();
                     };
                     bool hit = false, rest = false;
                     for (const db::CaPlaceRecord& place : places) {
                       if (place.wanted != Wanted::kNothing) (gone(place) ? hit : rest) = true;
                     }
                     if (hit && rest) {
                       return StartManualJob(tx, device, slot->name, std::nullopt, job_deadline_, outcome);
                     }
                     if (!hit) return absl::OkStatus();
                   } else {
                     ASSIGN_OR_RETURN(db::LeafSlotRecord leaf, db::GetLeafSlot(tx, device.id, slot->name));
                     if (!leaf.imported_id) outcome.status = NothingThere("imported", *slot, "");
                     if (!leaf.imported_id) return absl::OkStatus();
                     ASSIGN_OR_RETURN(outcome.status, NothingUnderWay(tx, device, *slot));
                     if (!outcome.status.ok()) return absl::OkStatus();
                   }
                   RETURN_IF_ERROR(db::SupersedeJobs(tx, {device.id}, slot->name, true,
                                                     "what it was to bring has been deleted"));
                   return HoldsCas(*slot) ? absl::OkStatus() : db::ClearImported(tx, device.id, slot->name);
                 });
}

absl::StatusOr<std::vector<DeviceOutcome>> ManualDeployment::DeleteActive(const Selection& selection,
                                                                          const std::string& slot_name,
                                                                          const std::string& sha256,
                                                                          bool validate_only,
                                                                          const std::string& actor) {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotFor(slot_name));
  return ForEach(
      "certificate.delete_active", selection, *slot, validate_only, actor,
      [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
        outcome.message = "is to be deleted on the phone";
        if (HoldsCas(*slot)) {
          ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places,
                           db::ListCaPlaces(tx, device.id, slot->name));
          const std::vector<std::int64_t> positions = PositionsOf(
              places, sha256, [](const auto& place) -> const auto& { return place.active; });
          if (positions.empty()) outcome.status = NothingThere("active", *slot, sha256);
          if (positions.empty()) return absl::OkStatus();
          ASSIGN_OR_RETURN(std::string policy,
                           PolicyThatNeeds(tx, slots_, device, *slot, positions, clock_.Now()));
          if (!policy.empty()) {
            outcome.status = RefusedForDevice(
                "CA_NEEDED_BY_POLICY",
                absl::StrCat("without it the phone could not reach its server any more: set ", policy,
                             " to none first"));
            return absl::OkStatus();
          }
          RETURN_IF_ERROR(db::WantCaRemoval(tx, device.id, slot->name, positions));
          return StartManualJob(tx, device, slot->name, std::nullopt, job_deadline_, outcome);
        }
        ASSIGN_OR_RETURN(db::LeafSlotRecord leaf, db::GetLeafSlot(tx, device.id, slot->name));
        if (!leaf.active_id) outcome.status = NothingThere("active", *slot, "");
        if (!leaf.active_id) return absl::OkStatus();
        ASSIGN_OR_RETURN(outcome.status, NothingUnderWay(tx, device, *slot));
        if (!outcome.status.ok()) return absl::OkStatus();
        RETURN_IF_ERROR(StartManualJob(tx, device, slot->name, std::nullopt, job_deadline_, outcome));
        // Another one may wait there for its second step.
        return leaf.imported_is_active ? db::ClearImported(tx, device.id, slot->name) : absl::OkStatus();
      });
}

}  // namespace phonepki::provisioning
