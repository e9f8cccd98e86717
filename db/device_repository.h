// Phones, what they said of themselves, and the certificates in their slots.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"

namespace phonepki::db {

struct DeviceRecord {
  std::int64_t id = 0;
  std::string mac;
  std::string state;  // virtual, registered
  std::int64_t location_id = 0;
  std::string e164;
  std::string ip_address;  // empty when unknown
  std::string fqdn;
  std::string device_type;
  std::string software_type;
  std::string software_version;
  std::string part_number;
  std::string contact_me_uri;
  std::string description;
  absl::Time created_at;
  std::optional<absl::Time> last_contact_at;
  std::string last_contact_reason;
  std::optional<absl::Time> inventory_at;
  std::string knock_address;  // empty when never knocked
  std::optional<absl::Time> knocked_at;
  bool knock_valid = false;    // the knock has not expired, by the database clock
  std::string security_state;  // secure_mode_repository.h
};

struct SlotCertificateRecord {
  std::int64_t certificate_id = 0;
  base::Bytes serial;
  std::string subject;
  absl::Time not_after;
  absl::Time since;
};

struct SlotRecord {
  std::string slot;
  std::optional<SlotCertificateRecord> imported;
  std::optional<SlotCertificateRecord> active;
  std::string read_back;
};

struct DeviceFilter {
  std::optional<std::int64_t> location_id = {};
  std::string state = {};  // empty = any
  std::string e164_prefix = {};
  std::string mac_prefix = {};
  std::string ip_network = {};  // CIDR
};

using InventoryItems = std::vector<std::pair<std::string, std::string>>;

// The row is locked until the transaction ends: one message of a phone at a time.
absl::StatusOr<std::optional<DeviceRecord>> FindDeviceForUpdate(Tx& tx, const std::string& mac);
absl::StatusOr<DeviceRecord> LockDevice(Tx& tx, std::int64_t id);
// Those of these that exist, in the order of their ids, likewise locked.
absl::StatusOr<std::vector<DeviceRecord>> LockDevicesByMac(Tx& tx, const std::vector<std::string>& macs);
// kNotFound.
absl::StatusOr<DeviceRecord> GetDeviceByMac(Tx& tx, const std::string& mac);
absl::StatusOr<std::vector<DeviceRecord>> GetDevices(Tx& tx, const std::vector<std::int64_t>& ids);
// Ordered by MAC, greater than `after_mac`.
absl::StatusOr<std::vector<DeviceRecord>> ListDevices(Tx& tx, const DeviceFilter& filter,
                                                      const std::string& after_mac, int limit);
absl::Status DeleteDevice(Tx& tx, std::int64_t id);

// First contact of an unknown phone. kAborted when another transaction was faster: try again.
absl::StatusOr<std::int64_t> InsertRegisteredDevice(Tx& tx, const DeviceRecord& device);
// Contact of a known phone: takes over what it says of itself and its address; it is registered from now on.
absl::Status UpdateDeviceContact(Tx& tx, const DeviceRecord& device);

// CSV import. Looks up what is there (by MAC), writes virtual devices and changes. Set-based.
absl::StatusOr<std::vector<DeviceRecord>> FindDevicesByMac(Tx& tx, const std::vector<std::string>& macs);
absl::StatusOr<std::vector<std::int64_t>> InsertVirtualDevices(Tx& tx,
                                                               const std::vector<DeviceRecord>& devices);
absl::Status UpdateImportedDevices(Tx& tx, const std::vector<DeviceRecord>& devices);

// ReadAllItems: `first` replaces what was stored, later fragments add to it.
absl::Status MergeInventory(Tx& tx, std::int64_t device_id, bool first, const std::string& items_json);
absl::Status CompleteInventory(Tx& tx, std::int64_t device_id);
// Sorted by name; empty when never read.
absl::StatusOr<InventoryItems> GetInventory(Tx& tx, std::int64_t device_id);

absl::StatusOr<std::vector<SlotRecord>> GetSlots(Tx& tx, std::int64_t device_id);
absl::Status SetReadBack(Tx& tx, std::int64_t device_id, const std::string& slot,
                         const std::string& read_back);
// certificates[i] was seen on devices[i]: the former active ones become superseded, these active, the slots
// show them, and the phone keys are erased when `erase_keys` (design.md 7).
absl::Status ActivateCertificates(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                                  const std::vector<std::int64_t>& certificates, bool erase_keys);

}  // namespace phonepki::db
