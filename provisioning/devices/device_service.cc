#include "provisioning/devices/device_service.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"
#include "base/mac_address.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "db/audit_repository.h"
#include "db/device_repository.h"
#include "db/job_repository.h"
#include "db/location_repository.h"
#include "db/setting_repository.h"
#include "db/slot_repository.h"
#include "provisioning/devices/device_import.h"
#include "provisioning/devices/location_name.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = device::v1;

constexpr char kCollection[] = "devices";
constexpr std::size_t kMaxCsv = 8 << 20;
constexpr int kMaxListedErrors = 1000;

v1::Device ToProto(const db::DeviceRecord& device, const std::string& location) {
  v1::Device proto;
  proto.set_name(absl::StrCat("devices/", device.mac));
  proto.set_mac(device.mac);
  proto.set_state(device.state == "registered" ? v1::Device::REGISTERED : v1::Device::VIRTUAL);
  proto.set_location(absl::StrCat("locations/", device.location_id));
  proto.set_location_display_name(location);
  proto.set_e164(device.e164);
  proto.set_ip_address(device.ip_address);
  proto.set_fqdn(device.fqdn);
  proto.set_device_type(device.device_type);
  proto.set_software_type(device.software_type);
  proto.set_software_version(device.software_version);
  proto.set_part_number(device.part_number);
  proto.set_contact_me_uri(device.contact_me_uri);
  proto.set_description(device.description);
  *proto.mutable_create_time() = base::rpc::ToProto(device.created_at);
  if (device.last_contact_at)
    *proto.mutable_last_contact_time() = base::rpc::ToProto(*device.last_contact_at);
  proto.set_last_contact_reason(device.last_contact_reason);
  if (device.knocked_at) *proto.mutable_last_knock_time() = base::rpc::ToProto(*device.knocked_at);
  return proto;
}

void Fill(const db::SlotCertificateRecord& record, v1::SlotCertificate* proto) {
  proto->set_certificate(absl::StrCat("certificates/", record.certificate_id));
  proto->set_serial(ca::HexLower(record.serial));
  proto->set_subject(record.subject);
  *proto->mutable_not_after() = base::rpc::ToProto(record.not_after);
  *proto->mutable_since() = base::rpc::ToProto(record.since);
}

void Fill(const db::TrustedCaRecord& ca, absl::Time since, v1::SlotCertificate* proto) {
  proto->set_serial(ca::HexLower(ca.serial));
  proto->set_subject(ca.subject);
  proto->set_sha256_fingerprint(ca::HexLower(ca.sha256));
  *proto->mutable_not_after() = base::rpc::ToProto(ca.not_after);
  *proto->mutable_since() = base::rpc::ToProto(since);
}

v1::Slot* SlotOf(v1::Device& device, const std::string& kind) {
  for (v1::Slot& slot : *device.mutable_slots()) {
    if (slot.kind() == kind) return &slot;
  }
  v1::Slot* added = device.add_slots();
  added->set_kind(kind);
  return added;
}

absl::StatusOr<db::DeviceFilter> ReadFilter(db::Tx& tx, const v1::ListDevicesRequest& request) {
  db::DeviceFilter filter;
  if (!request.location().empty()) {
    ASSIGN_OR_RETURN(filter.location_id, ResolveLocation(tx, request.location(), "location"));
  }
  if (!v1::Device::State_IsValid(request.state())) {
    return base::InvalidField("state", "DEVICE_STATE", "must be VIRTUAL or REGISTERED, or absent for both");
  }
  if (request.state() == v1::Device::VIRTUAL) filter.state = "virtual";
  if (request.state() == v1::Device::REGISTERED) filter.state = "registered";
  if (request.e164_prefix().find_first_not_of("0123456789") != std::string::npos) {
    return base::InvalidField("e164_prefix", "E164", "must consist of digits");
  }
  filter.e164_prefix = request.e164_prefix();
  filter.mac_prefix = absl::StrReplaceAll(absl::AsciiStrToUpper(request.mac_prefix()), {{"-", ":"}});
  if (filter.mac_prefix.find_first_not_of("0123456789ABCDEF:") != std::string::npos) {
    return base::InvalidField("mac_prefix", "MAC",
                              "must be the beginning of a MAC address, such as 00:1A:E8");
  }
  if (!request.ip_network().empty()) {
    db::LocationRuleRecord rule{"cidr", request.ip_network()};
    RETURN_IF_ERROR(CheckLocationRule(rule, "ip_network"));
    filter.ip_network = rule.value;
  }
  return filter;
}

}  // namespace

#define RPC(name)                                                                                  \
  grpc::Status DeviceService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                   v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.device.v1.DeviceService/" #name,                       \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status
#define END_RPC \
  );            \
  }

RPC(ImportDevices) {
  if (request->csv().size() > kMaxCsv) return base::InvalidField("csv", "FILE_TOO_LARGE", "at most 8 MiB");
  ASSIGN_OR_RETURN(ImportResult result, provisioning::ImportDevices(database_, placement_, request->csv(),
                                                                    request->validate_only()));
  response->set_created(result.created);
  response->set_updated(result.updated);
  response->set_unchanged(result.unchanged);
  response->set_failed(static_cast<std::int64_t>(result.errors.size()));
  for (const ImportError& error : result.errors) {
    if (response->errors_size() == kMaxListedErrors) break;
    auto* row = response->add_errors();
    row->set_line(error.line);
    row->set_field(error.field);
    row->set_reason(error.reason);
    row->set_message(error.message);
  }
  if (request->validate_only()) return absl::OkStatus();
  return database_.InTransaction("device_import_audit", [&](db::Tx& tx) {
    return db::AppendAudit(
        tx, {{caller.actor, "device.import", "devices",
              absl::StrCat("{\"created\": ", result.created, ", \"updated\": ", result.updated, "}")}});
  });
}
END_RPC

RPC(GetDevice) {
  ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->name(), "name"));
  return database_.InTransaction("device_get", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "name"));
    ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, device.location_id));
    v1::Device proto = ToProto(device, location.display_name);
    ASSIGN_OR_RETURN(std::vector<db::SlotRecord> slots, db::GetSlots(tx, device.id));
    for (const db::SlotRecord& slot : slots) {
      auto* added = SlotOf(proto, slot.slot);
      added->set_read_back(slot.read_back);
      if (slot.imported) Fill(*slot.imported, added->mutable_imported());
      if (slot.active) Fill(*slot.active, added->mutable_active());
    }
    ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places, db::ListCaPlaces(tx, device.id, ""));
    for (const db::CaPlaceRecord& place : places) {
      auto* added = SlotOf(proto, place.slot)->add_ca_places();
      added->set_position(place.position);
      if (place.imported) Fill(*place.imported, *place.imported_at, added->mutable_imported());
      if (place.active) Fill(*place.active, *place.active_at, added->mutable_active());
    }
    ASSIGN_OR_RETURN(std::vector<db::SettingRecord> settings, db::ListSettings(tx, device.id, ""));
    for (const db::SettingRecord& setting : settings) {
      auto* added = proto.add_settings();
      added->set_name(setting.slot);
      added->set_key(setting.key);
      added->set_wanted(setting.wanted);
      added->set_confirmed(setting.confirmed.value_or(""));
      if (setting.confirmed_at) *added->mutable_confirm_time() = base::rpc::ToProto(*setting.confirmed_at);
      added->set_override_reason(setting.override_reason);
    }
    ASSIGN_OR_RETURN(db::InventoryItems items, db::GetInventory(tx, device.id));
    for (const auto& [name, value] : items) {
      auto* item = proto.add_items();
      item->set_name(name);
      item->set_value(value);
    }
    *response->mutable_device() = std::move(proto);
    return absl::OkStatus();
  });
}
END_RPC

RPC(ListDevices) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::string after, base::rpc::ReadPageToken(kCollection, request->page_token()));
  if (!after.empty() && !base::ParseMac(after).ok()) {
    return base::InvalidField("page_token", "PAGE_TOKEN", "pass the next_page_token of the answer before");
  }
  return database_.InTransaction("device_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::DeviceFilter filter, ReadFilter(tx, *request));
    ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> devices, db::ListDevices(tx, filter, after, size));
    absl::flat_hash_map<std::int64_t, std::string> names;
    for (const db::DeviceRecord& device : devices) {
      if (!names.contains(device.location_id)) {
        ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, device.location_id));
        names[device.location_id] = location.display_name;
      }
      *response->add_devices() = ToProto(device, names[device.location_id]);
    }
    if (static_cast<int>(devices.size()) == size) {
      response->set_next_page_token(base::rpc::MakePageToken(kCollection, devices.back().mac));
    }
    return absl::OkStatus();
  });
}
END_RPC

RPC(DeleteDevice) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->name(), "name"));
  return database_.InTransaction("device_delete", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::optional<db::DeviceRecord> device, db::FindDeviceForUpdate(tx, mac));
    if (!device) return base::WithField(base::NotFound(absl::StrCat("no device ", request->name())), "name");
    ASSIGN_OR_RETURN(std::int64_t cancelled,
                     db::CancelJobsOfDevice(tx, device->id, "the device was deleted"));
    if (cancelled > 0 && !request->force()) {
      return base::WithReason(
          absl::FailedPreconditionError("the device has unfinished jobs; cancel them, or force"),
          "DEVICE_HAS_JOBS");
    }
    RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "device.delete", request->name()}}));
    return db::DeleteDevice(tx, device->id);
  });
}
END_RPC

}  // namespace phonepki::provisioning
