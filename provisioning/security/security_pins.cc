#include "provisioning/security/security_pins.h"

#include <unordered_map>
#include <unordered_set>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "db/audit_repository.h"
#include "db/device_repository.h"
#include "db/location_repository.h"
#include "provisioning/security/pin_list.h"

namespace phonepki::provisioning {
namespace {

constexpr char kDefaultObject[] = "securityPins/default";

std::string Purpose(std::optional<std::int64_t> device_id) {
  return device_id ? absl::StrCat("security-pin:", *device_id) : "security-pin:default";
}

std::string DeviceName(const std::string& mac) {
  return absl::StrCat("devices/", mac);
}

}  // namespace

absl::StatusOr<base::Secret> SecurityPins::Make(const base::Secret& chosen) const {
  if (chosen.empty()) return GeneratePin(options_.policy, options_.random);
  RETURN_IF_ERROR(CheckPin(chosen, options_.policy, "pin"));
  return chosen.Copy();
}

absl::StatusOr<base::Bytes> SecurityPins::NewWrapped(std::optional<std::int64_t> device_id) const {
  ASSIGN_OR_RETURN(base::Secret pin, Make(base::Secret()));
  return keystore_.Wrap(pin, Purpose(device_id));
}

absl::StatusOr<base::Secret> SecurityPins::Open(const db::SecurityPinRecord& record) const {
  return keystore_.Unwrap(record.wrapped_pin, Purpose(record.device_id));
}

absl::StatusOr<db::SecurityPinRecord> SecurityPins::EnsureDefault(db::Tx& tx) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    ASSIGN_OR_RETURN(auto found, db::FindDefaultPin(tx));
    if (found) return *std::move(found);
    ASSIGN_OR_RETURN(base::Bytes wrapped, NewWrapped(std::nullopt));
    RETURN_IF_ERROR(db::InsertDefaultPin(tx, wrapped));
    // Another replica may have been first: what counts is what the database holds.
  }
  return absl::AbortedError("the default PIN went away while it was made");
}

absl::StatusOr<std::vector<db::SecurityPinRecord>> SecurityPins::Ensure(
    db::Tx& tx, const std::vector<std::int64_t>& devices) {
  ASSIGN_OR_RETURN(std::vector<db::SecurityPinRecord> pins, db::FindDevicePins(tx, devices));
  std::unordered_set<std::int64_t> served;
  for (const db::SecurityPinRecord& pin : pins) {
    if (!pin.expired) served.insert(*pin.device_id);
  }
  std::vector<std::int64_t> missing;
  std::vector<base::Bytes> wrapped;
  for (const std::int64_t device : devices) {
    if (served.count(device) != 0) continue;
    missing.push_back(device);
    ASSIGN_OR_RETURN(wrapped.emplace_back(), NewWrapped(device));
  }
  if (missing.empty()) return pins;
  RETURN_IF_ERROR(db::InsertDevicePins(tx, missing, wrapped, options_.lifetime));
  ASSIGN_OR_RETURN(pins, db::FindDevicePins(tx, devices));
  if (pins.size() != devices.size()) return absl::AbortedError("a PIN went away while it was made");
  return pins;
}

absl::StatusOr<base::Secret> SecurityPins::ForEnrolment(db::Tx& tx, std::optional<std::int64_t> device_id) {
  if (!device_id) {
    ASSIGN_OR_RETURN(db::SecurityPinRecord pin, EnsureDefault(tx));
    return Open(pin);
  }
  ASSIGN_OR_RETURN(std::vector<db::SecurityPinRecord> pins, Ensure(tx, {*device_id}));
  return Open(pins.front());
}

absl::StatusOr<std::optional<base::Secret>> SecurityPins::ForTan(db::Tx& tx,
                                                                 std::optional<std::int64_t> device_id) {
  std::vector<db::SecurityPinRecord> pins;
  if (device_id) {
    ASSIGN_OR_RETURN(pins, db::FindDevicePins(tx, {*device_id}));
  } else {
    ASSIGN_OR_RETURN(auto found, db::FindDefaultPin(tx));
    if (found) pins.push_back(*std::move(found));
  }
  if (pins.empty() || pins.front().expired) return std::optional<base::Secret>();
  ASSIGN_OR_RETURN(base::Secret pin, Open(pins.front()));
  return std::optional<base::Secret>(std::move(pin));
}

absl::StatusOr<ShownPin> SecurityPins::ViewDefault(const std::string& actor) {
  return database_.InTransactionReturning("pin_view_default", [&](db::Tx& tx) -> absl::StatusOr<ShownPin> {
    ASSIGN_OR_RETURN(db::SecurityPinRecord record, EnsureDefault(tx));
    ASSIGN_OR_RETURN(base::Secret pin, Open(record));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "pin.view", kDefaultObject}}));
    return ShownPin{std::move(pin), std::nullopt};
  });
}

absl::StatusOr<ShownPin> SecurityPins::RotateDefault(const base::Secret& chosen, const std::string& actor) {
  ASSIGN_OR_RETURN(base::Secret pin, Make(chosen));
  ASSIGN_OR_RETURN(base::Bytes wrapped, keystore_.Wrap(pin, Purpose(std::nullopt)));
  RETURN_IF_ERROR(database_.InTransaction("pin_rotate_default", [&](db::Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(db::ReplaceDefaultPin(tx, wrapped));
    return db::AppendAudit(tx, {{actor, "pin.rotate", kDefaultObject}});
  }));
  return ShownPin{std::move(pin), std::nullopt};
}

absl::StatusOr<ShownPin> SecurityPins::ViewDevice(const std::string& mac, const std::string& actor) {
  return database_.InTransactionReturning("pin_view", [&](db::Tx& tx) -> absl::StatusOr<ShownPin> {
    ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "device"));
    ASSIGN_OR_RETURN(std::vector<db::SecurityPinRecord> pins, Ensure(tx, {device.id}));
    ASSIGN_OR_RETURN(std::vector<std::int64_t> shown, db::MarkDevicePinsViewed(tx, {device.id}));
    if (shown.empty()) {
      return base::WithReason(
          absl::FailedPreconditionError(
              "somebody has viewed this PIN; a PIN is shown once: regenerate it to get another one"),
          "PIN_ALREADY_VIEWED");
    }
    ASSIGN_OR_RETURN(base::Secret pin, Open(pins.front()));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "pin.view", DeviceName(mac)}}));
    return ShownPin{std::move(pin), pins.front().expires_at};
  });
}

absl::StatusOr<ShownPin> SecurityPins::RegenerateDevice(const std::string& mac, const base::Secret& chosen,
                                                        const std::string& actor) {
  ASSIGN_OR_RETURN(base::Secret pin, Make(chosen));
  ShownPin shown;
  RETURN_IF_ERROR(database_.InTransaction("pin_regenerate", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "device"));
    ASSIGN_OR_RETURN(base::Bytes wrapped, keystore_.Wrap(pin, Purpose(device.id)));
    RETURN_IF_ERROR(db::ReplaceDevicePin(tx, device.id, wrapped, options_.lifetime));
    RETURN_IF_ERROR(db::MarkDevicePinsViewed(tx, {device.id}).status());
    ASSIGN_OR_RETURN(std::vector<db::SecurityPinRecord> stored, db::FindDevicePins(tx, {device.id}));
    shown.expires_at = stored.at(0).expires_at;
    return db::AppendAudit(tx, {{actor, "pin.regenerate", DeviceName(mac)}});
  }));
  shown.pin = std::move(pin);
  return shown;
}

absl::StatusOr<PrintedPins> SecurityPins::Print(std::int64_t location_id, absl::Time now,
                                                const std::string& actor) {
  return database_.InTransactionReturning("pin_print", [&](db::Tx& tx) -> absl::StatusOr<PrintedPins> {
    ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, location_id));
    ASSIGN_OR_RETURN(std::vector<db::PinDeviceRecord> devices,
                     db::ListPinDevices(tx, location_id, "", kMaxPrintedPins + 1));
    if (devices.size() > kMaxPrintedPins) {
      return base::WithReason(
          absl::FailedPreconditionError(absl::StrCat("the location has more than ", kMaxPrintedPins,
                                                     " phones that are not in secure mode, too many for one "
                                                     "list; divide the location")),
          "TOO_MANY_DEVICES");
    }
    std::vector<std::int64_t> ids;
    for (const db::PinDeviceRecord& device : devices) ids.push_back(device.device_id);
    ASSIGN_OR_RETURN(std::vector<db::SecurityPinRecord> pins, Ensure(tx, ids));
    ASSIGN_OR_RETURN(std::vector<std::int64_t> fresh, db::MarkDevicePinsViewed(tx, ids));
    const std::unordered_set<std::int64_t> shown(fresh.begin(), fresh.end());
    std::unordered_map<std::int64_t, const db::SecurityPinRecord*> by_device;
    for (const db::SecurityPinRecord& pin : pins) by_device[*pin.device_id] = &pin;
    PrintedPins printed;
    std::vector<PinListRow> rows;
    for (const db::PinDeviceRecord& device : devices) {
      PinListRow& row = rows.emplace_back(PinListRow{device.mac, device.e164, {}});
      if (shown.count(device.device_id) == 0) {
        ++printed.already_viewed;
        continue;
      }
      ASSIGN_OR_RETURN(row.pin, Open(*by_device.at(device.device_id)));
      ++printed.printed;
    }
    printed.html = PrintPinList(location.display_name, rows, now, now + options_.lifetime);
    RETURN_IF_ERROR(db::AppendAudit(tx, {{actor, "pin.print", absl::StrCat("locations/", location_id),
                                          absl::StrCat("{\"pins\": ", printed.printed, "}")}}));
    return printed;
  });
}

}  // namespace phonepki::provisioning
