#include "db/device_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

// The columns of a DeviceRecord, in the order ToDevice() reads them.
#define DEVICE_COLUMNS                                                                          \
  "id, mac, state, location_id, e164, host(ip_address), fqdn, device_type, software_type, "     \
  "software_version, part_number, contact_me_uri, description, to_usec(created_at), "           \
  "to_usec(last_contact_at), last_contact_reason, to_usec(inventory_at), host(knock_address), " \
  "to_usec(knocked_at), coalesce(knock_expires_at > now(), false), security_state"

namespace phonepki::db {
namespace {

constexpr Query kFindForUpdate{"device_find_for_update",
                               "SELECT " DEVICE_COLUMNS " FROM device WHERE mac = $1 FOR NO KEY UPDATE"};
constexpr Query kLock{"device_lock", "SELECT " DEVICE_COLUMNS " FROM device WHERE id = $1 FOR NO KEY UPDATE"};
constexpr Query kLockByMacs{"device_lock_by_macs",
                            "SELECT " DEVICE_COLUMNS
                            " FROM device WHERE mac = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE"};
constexpr Query kGetByMac{"device_get_by_mac", "SELECT " DEVICE_COLUMNS " FROM device WHERE mac = $1"};
constexpr Query kGetMany{"device_get_many",
                         "SELECT " DEVICE_COLUMNS " FROM device WHERE id = ANY($1::bigint[])"};
constexpr Query kFindByMacs{"device_find_by_macs",
                            "SELECT " DEVICE_COLUMNS " FROM device WHERE mac = ANY($1::text[])"};
// One statement per leading filter, so that each is served by its own index whatever plan is cached; the
// remaining filters are checked on the rows that the index yields. `mac >= $6` is what lets a scan over (…,
// mac) start at the prefix.
#define DEVICE_REST                                                                \
  " AND ($3::bigint IS NULL OR location_id = $3) AND ($4 = '' OR state = $4)"      \
  " AND ($5 = '' OR starts_with(e164, $5)) AND mac >= $6 AND starts_with(mac, $6)" \
  " AND ($7::text = '' OR ip_address <<= $7::inet) ORDER BY mac LIMIT $2"
constexpr Query kList{"device_list", "SELECT " DEVICE_COLUMNS " FROM device WHERE mac > $1" DEVICE_REST};
constexpr Query kListByLocation{"device_list_by_location", "SELECT " DEVICE_COLUMNS
                                                           " FROM device WHERE mac > $1"
                                                           " AND location_id = $3::bigint" DEVICE_REST};
constexpr Query kListByState{"device_list_by_state",
                             "SELECT " DEVICE_COLUMNS
                             " FROM device WHERE mac > $1 AND state = $4" DEVICE_REST};
// text_pattern_ops: the prefix as a range.
constexpr Query kListByE164{"device_list_by_e164",
                            "SELECT " DEVICE_COLUMNS
                            " FROM device WHERE mac > $1"
                            " AND e164 ~>=~ $5 AND e164 ~<~ ($5 || chr(1114109))" DEVICE_REST};
constexpr Query kListByNetwork{"device_list_by_network", "SELECT " DEVICE_COLUMNS
                                                         " FROM device WHERE mac > $1"
                                                         " AND ip_address <<= $7::inet" DEVICE_REST};
// Keys of a phone that is gone would stay for ever: nothing points at them any more.
constexpr Query kDeleteKeys{"device_delete_keys", R"sql(
  WITH certificates AS (SELECT id FROM certificate WHERE device_id = $1),
  keys AS (DELETE FROM certificate_key WHERE certificate_id IN (SELECT id FROM certificates))
  UPDATE certificate SET state = 'discarded' WHERE device_id = $1 AND state = 'issued')sql"};
constexpr Query kDelete{"device_delete", "DELETE FROM device WHERE id = $1"};

constexpr Query kInsertRegistered{"device_insert_registered", R"sql(
  INSERT INTO device (mac, state, location_id, e164, ip_address, device_type, software_type, software_version,
                      part_number, contact_me_uri, last_contact_at, last_contact_reason)
  VALUES ($1, 'registered', $2, $3, nullif($4, '')::inet, $5, $6, $7, $8, $9, now(), $10)
      ON CONFLICT (mac) DO NOTHING
  RETURNING id)sql"};
constexpr Query kUpdateContact{"device_update_contact", R"sql(
  UPDATE device
     SET state = 'registered', location_id = $2, e164 = $3, ip_address = nullif($4, '')::inet, device_type = $5,
         software_type = $6, software_version = $7, part_number = $8, contact_me_uri = $9,
         last_contact_at = now(), last_contact_reason = $10
   WHERE id = $1)sql"};
constexpr Query kInsertVirtual{"device_insert_virtual", R"sql(
  INSERT INTO device (mac, location_id, e164, ip_address, fqdn, device_type, description)
  SELECT mac, location_id, e164, nullif(ip, '')::inet, fqdn, device_type, description
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
         AS d (mac, location_id, e164, ip, fqdn, device_type, description)
      ON CONFLICT (mac) DO NOTHING
  RETURNING id)sql"};
constexpr Query kUpdateImported{"device_update_imported", R"sql(
  UPDATE device
     SET location_id = d.location_id, e164 = d.e164, ip_address = nullif(d.ip, '')::inet, fqdn = d.fqdn,
         device_type = d.device_type, description = d.description
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
         AS d (mac, location_id, e164, ip, fqdn, device_type, description)
   WHERE device.mac = d.mac)sql"};

constexpr Query kReplaceInventory{"inventory_replace", R"sql(
  INSERT INTO device_inventory (device_id, items) VALUES ($1, $2::jsonb)
      ON CONFLICT (device_id) DO UPDATE SET items = excluded.items)sql"};
constexpr Query kMergeInventory{"inventory_merge", R"sql(
  INSERT INTO device_inventory (device_id, items) VALUES ($1, $2::jsonb)
      ON CONFLICT (device_id) DO UPDATE SET items = device_inventory.items || excluded.items)sql"};
constexpr Query kCompleteInventory{"inventory_complete",
                                   "UPDATE device SET inventory_at = now() WHERE id = $1"};
constexpr Query kGetInventory{"inventory_get", R"sql(
  SELECT item.key, item.value
    FROM device_inventory CROSS JOIN jsonb_each_text(items) AS item
   WHERE device_id = $1 ORDER BY item.key)sql"};

constexpr Query kGetSlots{"slot_get", R"sql(
  SELECT s.slot, s.read_back,
         i.id, i.serial, i.subject, to_usec(i.not_after), to_usec(s.imported_at),
         a.id, a.serial, a.subject, to_usec(a.not_after), to_usec(s.active_at)
    FROM device_slot s
    LEFT JOIN certificate i ON i.id = s.imported_id
    LEFT JOIN certificate a ON a.id = s.active_id
   WHERE s.device_id = $1 ORDER BY s.slot)sql"};
constexpr Query kSetReadBack{"slot_set_read_back", R"sql(
  INSERT INTO device_slot (device_id, slot, read_back) VALUES ($1, $2, $3)
      ON CONFLICT (device_id, slot) DO UPDATE SET read_back = excluded.read_back)sql"};

// Superseding comes first: certificate_active_idx allows one active certificate per device and slot.
constexpr Query kSupersedeActive{"certificate_supersede_active", R"sql(
  UPDATE certificate SET state = 'superseded'
   WHERE id = ANY(ARRAY(
         SELECT (SELECT c.id FROM certificate c
                  WHERE c.device_id = d.device_id AND c.slot = $2 AND c.state = 'active' AND c.id <> d.new_id)
           FROM unnest($1::bigint[], $3::bigint[]) AS d (device_id, new_id))))sql"};
constexpr Query kMarkActive{"certificate_mark_active", R"sql(
  UPDATE certificate SET state = 'active' WHERE id = ANY($1::bigint[]) AND state IN ('issued', 'superseded'))sql"};
constexpr Query kFillSlots{"slot_set_active", R"sql(
  INSERT INTO device_slot (device_id, slot, active_id, active_at)
  SELECT device_id, $2, certificate_id, now()
    FROM unnest($1::bigint[], $3::bigint[]) AS a (device_id, certificate_id)
      ON CONFLICT (device_id, slot) DO UPDATE SET active_id = excluded.active_id, active_at = excluded.active_at)sql"};
constexpr Query kEraseKeys{"certificate_key_erase", R"sql(
  DELETE FROM certificate_key WHERE certificate_id = ANY($1::bigint[]))sql"};

DeviceRecord ToDevice(const pqxx::row& row) {
  DeviceRecord device;
  device.id = row[0].as<std::int64_t>();
  device.mac = row[1].as<std::string>();
  device.state = row[2].as<std::string>();
  device.location_id = row[3].as<std::int64_t>();
  device.e164 = row[4].as<std::string>();
  device.ip_address = row[5].as<std::string>("");
  device.fqdn = row[6].as<std::string>();
  device.device_type = row[7].as<std::string>();
  device.software_type = row[8].as<std::string>();
  device.software_version = row[9].as<std::string>();
  device.part_number = row[10].as<std::string>();
  device.contact_me_uri = row[11].as<std::string>();
  device.description = row[12].as<std::string>();
  device.created_at = ToTime(row[13]);
  device.last_contact_at = ToOptionalTime(row[14]);
  device.last_contact_reason = row[15].as<std::string>();
  device.inventory_at = ToOptionalTime(row[16]);
  device.knock_address = row[17].as<std::string>("");
  device.knocked_at = ToOptionalTime(row[18]);
  device.knock_valid = row[19].as<bool>();
  device.security_state = row[20].as<std::string>();
  return device;
}

std::vector<DeviceRecord> ToDevices(const pqxx::result& rows) {
  std::vector<DeviceRecord> devices;
  devices.reserve(rows.size());
  for (const auto& row : rows) devices.push_back(ToDevice(row));
  return devices;
}

std::optional<SlotCertificateRecord> ToSlotCertificate(const pqxx::row& row, int first) {
  if (row[first].is_null()) return std::nullopt;
  return SlotCertificateRecord{row[first].as<std::int64_t>(), ToBytes(row[first + 1]),
                               row[first + 2].as<std::string>(), ToTime(row[first + 3]),
                               ToTime(row[first + 4])};
}

// The columns that a CSV row can set, for unnest().
struct ImportColumns {
  explicit ImportColumns(const std::vector<DeviceRecord>& devices) {
    for (const DeviceRecord& device : devices) {
      mac.push_back(device.mac);
      location.push_back(device.location_id);
      e164.push_back(device.e164);
      ip.push_back(device.ip_address);
      fqdn.push_back(device.fqdn);
      type.push_back(device.device_type);
      description.push_back(device.description);
    }
  }
  std::vector<std::string> mac, e164, ip, fqdn, type, description;
  std::vector<std::int64_t> location;
};

}  // namespace

absl::StatusOr<std::optional<DeviceRecord>> FindDeviceForUpdate(Tx& tx, const std::string& mac) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindForUpdate, mac));
  if (rows.empty()) return std::optional<DeviceRecord>();
  return std::optional<DeviceRecord>(ToDevice(rows[0]));
}

absl::StatusOr<DeviceRecord> LockDevice(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kLock, id));
  if (rows.empty()) return base::NotFound("the device has been deleted");
  return ToDevice(rows[0]);
}

absl::StatusOr<std::vector<DeviceRecord>> LockDevicesByMac(Tx& tx, const std::vector<std::string>& macs) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kLockByMacs, macs));
  return ToDevices(rows);
}

absl::StatusOr<DeviceRecord> GetDeviceByMac(Tx& tx, const std::string& mac) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetByMac, mac));
  if (rows.empty()) return base::NotFound(absl::StrCat("no device devices/", mac));
  return ToDevice(rows[0]);
}

absl::StatusOr<std::vector<DeviceRecord>> GetDevices(Tx& tx, const std::vector<std::int64_t>& ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetMany, ids));
  return ToDevices(rows);
}

absl::StatusOr<std::vector<DeviceRecord>> ListDevices(Tx& tx, const DeviceFilter& filter,
                                                      const std::string& after_mac, int limit) {
  const Query& query = !filter.ip_network.empty()    ? kListByNetwork
                       : !filter.e164_prefix.empty() ? kListByE164
                       : filter.location_id          ? kListByLocation
                       : !filter.state.empty()       ? kListByState
                                                     : kList;
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, after_mac, limit, filter.location_id, filter.state,
                                                 filter.e164_prefix, filter.mac_prefix, filter.ip_network));
  return ToDevices(rows);
}

absl::Status DeleteDevice(Tx& tx, std::int64_t id) {
  RETURN_IF_ERROR(tx.Execute(kDeleteKeys, id).status());
  return tx.Execute(kDelete, id).status();
}

absl::StatusOr<std::int64_t> InsertRegisteredDevice(Tx& tx, const DeviceRecord& device) {
  ASSIGN_OR_RETURN(
      pqxx::result rows,
      tx.Execute(kInsertRegistered, device.mac, device.location_id, device.e164, device.ip_address,
                 device.device_type, device.software_type, device.software_version, device.part_number,
                 device.contact_me_uri, device.last_contact_reason));
  if (rows.empty()) return absl::AbortedError("the device was registered at the same time");
  return rows[0][0].as<std::int64_t>();
}

absl::Status UpdateDeviceContact(Tx& tx, const DeviceRecord& device) {
  return tx
      .Execute(kUpdateContact, device.id, device.location_id, device.e164, device.ip_address,
               device.device_type, device.software_type, device.software_version, device.part_number,
               device.contact_me_uri, device.last_contact_reason)
      .status();
}

absl::StatusOr<std::vector<DeviceRecord>> FindDevicesByMac(Tx& tx, const std::vector<std::string>& macs) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindByMacs, macs));
  return ToDevices(rows);
}

absl::StatusOr<std::vector<std::int64_t>> InsertVirtualDevices(Tx& tx,
                                                               const std::vector<DeviceRecord>& devices) {
  const ImportColumns c(devices);
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kInsertVirtual, c.mac, c.location, c.e164, c.ip, c.fqdn,
                                                 c.type, c.description));
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  return ids;
}

absl::Status UpdateImportedDevices(Tx& tx, const std::vector<DeviceRecord>& devices) {
  const ImportColumns c(devices);
  return tx.Execute(kUpdateImported, c.mac, c.location, c.e164, c.ip, c.fqdn, c.type, c.description).status();
}

absl::Status MergeInventory(Tx& tx, std::int64_t device_id, bool first, const std::string& items_json) {
  return tx.Execute(first ? kReplaceInventory : kMergeInventory, device_id, items_json).status();
}

absl::Status CompleteInventory(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kCompleteInventory, device_id).status();
}

absl::StatusOr<InventoryItems> GetInventory(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetInventory, device_id));
  InventoryItems items;
  for (const auto& row : rows) items.emplace_back(row[0].as<std::string>(), row[1].as<std::string>(""));
  return items;
}

absl::StatusOr<std::vector<SlotRecord>> GetSlots(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetSlots, device_id));
  std::vector<SlotRecord> slots;
  for (const auto& row : rows) {
    slots.push_back({row[0].as<std::string>(), ToSlotCertificate(row, 2), ToSlotCertificate(row, 7),
                     row[1].as<std::string>()});
  }
  return slots;
}

absl::Status SetReadBack(Tx& tx, std::int64_t device_id, const std::string& slot,
                         const std::string& read_back) {
  return tx.Execute(kSetReadBack, device_id, slot, read_back).status();
}

absl::Status ActivateCertificates(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                                  const std::vector<std::int64_t>& certificates, bool erase_keys) {
  RETURN_IF_ERROR(tx.Execute(kSupersedeActive, devices, slot, certificates).status());
  RETURN_IF_ERROR(tx.Execute(kMarkActive, certificates).status());
  RETURN_IF_ERROR(tx.Execute(kFillSlots, devices, slot, certificates).status());
  if (erase_keys) RETURN_IF_ERROR(tx.Execute(kEraseKeys, certificates).status());
  return absl::OkStatus();
}

}  // namespace phonepki::db
