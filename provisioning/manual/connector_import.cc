// Import from a connector (B-051): each phone gets a certificate of its own, issued now.
#include <algorithm>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/location_repository.h"
#include "db/plugin_repository.h"
#include "db/slot_repository.h"
#include "provisioning/manual/manual_deployment.h"

namespace phonepki::provisioning {

absl::StatusOr<std::vector<DeviceOutcome>> ManualDeployment::ImportFromConnector(const Selection& selection,
                                                                                 const std::string& slot_name,
                                                                                 std::int64_t connector_id,
                                                                                 const ManualOptions& options,
                                                                                 const std::string& actor) {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotFor(slot_name));
  if (slot->holds == CertificateSlot::Holds::kCaCertificates) {
    ASSIGN_OR_RETURN(db::ConnectorRecord connector,
                     database_.InTransactionReturning(
                         "manual_connector", [&](db::Tx& tx) { return db::GetConnector(tx, connector_id); }));
    if (connector.trust_anchor.empty()) {
      return base::WithField(
          base::WithReason(absl::FailedPreconditionError(absl::StrCat("connector \"", connector.display_name,
                                                                      "\" has no trust anchor yet")),
                           "CONNECTOR_INCOMPLETE"),
          "connector");
    }
    ASSIGN_OR_RETURN(ca::CertificateInfo anchor, ca::ParseCertificate(connector.trust_anchor));
    return ForEach("certificate.import", selection, *slot, options.validate_only, actor,
                   [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) {
                     return ImportCas(tx, device, *slot, {anchor}, options, outcome);
                   });
  }
  std::vector<CertificateOrder> orders;
  ASSIGN_OR_RETURN(
      std::vector<DeviceOutcome> outcomes,
      ForEach("certificate.import", selection, *slot, options.validate_only, actor,
              [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
                ASSIGN_OR_RETURN(outcome.status, NothingUnderWay(tx, device, *slot));
                if (!outcome.status.ok()) return absl::OkStatus();
                ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, device.location_id));
                outcome.message = "imported";
                orders.push_back(
                    {device.id,
                     slot->name,
                     slot->profile,
                     {},
                     connector_id,
                     {device.mac, device.ip_address, device.fqdn, device.e164, location.display_name}});
                return absl::OkStatus();
              }));
  if (options.validate_only) return outcomes;
  // The transaction above may have been repeated.
  absl::flat_hash_map<std::string, absl::Status> issued;
  std::vector<CertificateOrder> once;
  for (CertificateOrder& order : orders) {
    if (issued.try_emplace(order.names.mac).second) once.push_back(std::move(order));
  }
  const std::vector<absl::StatusOr<std::int64_t>> certificates =
      issuance_.IssueBatch(once, [&](db::Tx& tx, const std::vector<IssuedForDevice>& made) -> absl::Status {
        // Somebody else may act on the same phones since they were looked at, or may have deleted one.
        std::vector<std::string> macs;
        for (const CertificateOrder& order : once) macs.push_back(order.names.mac);
        ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> locked, db::LockDevicesByMac(tx, macs));
        std::vector<std::int64_t> devices, ids;
        for (const IssuedForDevice& one : made) {
          const bool there = std::any_of(locked.begin(), locked.end(),
                                         [&](const auto& device) { return device.id == one.device_id; });
          if (!there) continue;
          devices.push_back(one.device_id);
          ids.push_back(one.certificate_id);
        }
        RETURN_IF_ERROR(
            db::SupersedeJobs(tx, devices, slot->name, true, "another certificate has been imported"));
        return db::SetImported(tx, devices, slot->name, ids);
      });
  Selection to_activate;
  for (std::size_t i = 0; i < once.size(); ++i) {
    issued[once[i].names.mac] = certificates[i].status();
    if (certificates[i].ok()) to_activate.macs.insert(once[i].names.mac);
  }
  for (DeviceOutcome& outcome : outcomes) {
    if (outcome.status.ok()) outcome.status = issued[outcome.mac];
  }
  if (!options.activate || to_activate.macs.empty()) return outcomes;
  ASSIGN_OR_RETURN(std::vector<DeviceOutcome> activated, Activate(to_activate, slot_name, false, actor));
  absl::flat_hash_map<std::string, DeviceOutcome> by_mac;
  for (DeviceOutcome& outcome : activated) by_mac[outcome.mac] = outcome;
  for (DeviceOutcome& outcome : outcomes) {
    if (outcome.status.ok()) outcome = by_mac[outcome.mac];
  }
  return outcomes;
}

}  // namespace phonepki::provisioning
