#include "db/location_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

// The columns of a LocationRecord, in the order ToLocation() reads them.
#define LOCATION_COLUMNS                                                                \
  "id, display_name, description, priority, is_default, max_sessions, server_address, " \
  "server_port, server_secure_port"

namespace phonepki::db {
namespace {

constexpr char kKind[] = "a location";

constexpr Query kLockShared{"placement_lock_shared", "SELECT pg_advisory_xact_lock_shared(716001)"};
constexpr Query kLockExclusive{"placement_lock_exclusive", "SELECT pg_advisory_xact_lock(716001)"};
constexpr Query kRevision{"location_revision_get", "SELECT revision FROM location_revision"};
constexpr Query kBumpRevision{"location_revision_bump",
                              "UPDATE location_revision SET revision = revision + 1"};

constexpr Query kLoadAll{"location_load_all", "SELECT " LOCATION_COLUMNS " FROM location ORDER BY id"};
constexpr Query kLoadAllRules{"location_load_rules", R"sql(
  SELECT location_id, kind, value FROM location_rule ORDER BY location_id, kind, value)sql"};
constexpr Query kGet{"location_get", "SELECT " LOCATION_COLUMNS " FROM location WHERE id = $1"};
constexpr Query kGetMany{"location_get_many",
                         "SELECT " LOCATION_COLUMNS " FROM location WHERE id = ANY($1::bigint[])"};
constexpr Query kGetRules{"location_get_rules", R"sql(
  SELECT location_id, kind, value FROM location_rule WHERE location_id = ANY($1::bigint[])
   ORDER BY location_id, kind, value)sql"};
constexpr Query kFindByName{"location_find_by_name", "SELECT id FROM location WHERE display_name = $1"};
constexpr Query kList{"location_list",
                      "SELECT " LOCATION_COLUMNS " FROM location WHERE id > $1 ORDER BY id LIMIT $2"};
constexpr Query kCountDevices{"location_count_devices", "SELECT count(*) FROM device WHERE location_id = $1"};
constexpr Query kServerAddresses{"location_server_addresses", R"sql(
  SELECT DISTINCT server_address FROM location WHERE server_address <> '' ORDER BY 1)sql"};
constexpr Query kInsert{"location_insert", R"sql(
  INSERT INTO location (display_name, description, priority, max_sessions, server_address, server_port,
                        server_secure_port)
  VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id)sql"};
constexpr Query kUpdate{"location_update", R"sql(
  UPDATE location
     SET display_name = $2, description = $3, priority = $4, max_sessions = $5, server_address = $6,
         server_port = $7, server_secure_port = $8
   WHERE id = $1)sql"};
constexpr Query kDeleteRules{"location_rules_delete", "DELETE FROM location_rule WHERE location_id = $1"};
constexpr Query kInsertRules{"location_rules_insert", R"sql(
  INSERT INTO location_rule (location_id, kind, value)
  SELECT $1, kind, value FROM unnest($2::text[], $3::text[]) AS r (kind, value)
      ON CONFLICT DO NOTHING)sql"};
constexpr Query kDelete{"location_delete", "DELETE FROM location WHERE id = $1 AND NOT is_default"};
constexpr Query kListPlacements{"placement_list", R"sql(
  SELECT id, mac, e164, host(ip_address), device_type, location_id FROM device
   WHERE id > $1 ORDER BY id LIMIT $2)sql"};
constexpr Query kMove{"placement_move", R"sql(
  UPDATE device SET location_id = m.location_id
    FROM unnest($1::bigint[], $2::bigint[]) AS m (device_id, location_id)
   WHERE device.id = m.device_id)sql"};

LocationRecord ToLocation(const pqxx::row& row) {
  LocationRecord location;
  location.id = row[0].as<std::int64_t>();
  location.display_name = row[1].as<std::string>();
  location.description = row[2].as<std::string>();
  location.priority = row[3].as<int>();
  location.is_default = row[4].as<bool>();
  location.max_sessions = row[5].as<int>();
  location.server = {row[6].as<std::string>(), row[7].as<int>(), row[8].as<int>()};
  return location;
}

// Both ascending by location id.
void AttachRules(const pqxx::result& rules, std::vector<LocationRecord>& locations) {
  auto location = locations.begin();
  for (const auto& row : rules) {
    const auto id = row[0].as<std::int64_t>();
    while (location != locations.end() && location->id < id) ++location;
    if (location == locations.end()) return;
    if (location->id == id) location->rules.push_back({row[1].as<std::string>(), row[2].as<std::string>()});
  }
}

}  // namespace

absl::Status LockPlacementShared(Tx& tx) {
  return tx.Execute(kLockShared).status();
}
absl::Status LockPlacementExclusive(Tx& tx) {
  return tx.Execute(kLockExclusive).status();
}

absl::StatusOr<std::int64_t> GetLocationRevision(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kRevision));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::Status BumpLocationRevision(Tx& tx) {
  return tx.Execute(kBumpRevision).status();
}

absl::StatusOr<std::vector<LocationRecord>> LoadLocations(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kLoadAll));
  ASSIGN_OR_RETURN(pqxx::result rules, tx.Execute(kLoadAllRules));
  std::vector<LocationRecord> locations;
  for (const auto& row : rows) locations.push_back(ToLocation(row));
  AttachRules(rules, locations);
  return locations;
}

absl::StatusOr<LocationRecord> GetLocation(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGet, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no location locations/", id));
  std::vector<LocationRecord> found{ToLocation(rows[0])};
  ASSIGN_OR_RETURN(pqxx::result rules, tx.Execute(kGetRules, std::vector<std::int64_t>{id}));
  AttachRules(rules, found);
  return std::move(found.front());
}

absl::StatusOr<std::vector<LocationRecord>> GetLocationsWithoutRules(Tx& tx,
                                                                     const std::vector<std::int64_t>& ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetMany, ids));
  std::vector<LocationRecord> locations;
  for (const auto& row : rows) locations.push_back(ToLocation(row));
  return locations;
}

absl::StatusOr<std::int64_t> FindLocationByDisplayName(Tx& tx, const std::string& display_name) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindByName, display_name));
  if (rows.empty()) return base::NotFound(absl::StrCat("no location is named \"", display_name, "\""));
  return rows[0][0].as<std::int64_t>();
}

absl::StatusOr<std::vector<LocationRecord>> ListLocations(Tx& tx, std::int64_t after, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kList, after, limit));
  std::vector<LocationRecord> locations;
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) {
    locations.push_back(ToLocation(row));
    ids.push_back(locations.back().id);
  }
  ASSIGN_OR_RETURN(pqxx::result rules, tx.Execute(kGetRules, ids));
  AttachRules(rules, locations);
  return locations;
}

absl::StatusOr<std::int64_t> CountDevices(Tx& tx, std::int64_t location_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCountDevices, location_id));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::StatusOr<std::vector<std::string>> ListServerAddresses(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kServerAddresses));
  std::vector<std::string> addresses;
  for (const auto& row : rows) addresses.push_back(row[0].as<std::string>());
  return addresses;
}

absl::StatusOr<std::int64_t> InsertLocation(Tx& tx, const LocationRecord& location) {
  const LocationServer& server = location.server;
  absl::StatusOr<pqxx::result> rows =
      tx.Execute(kInsert, location.display_name, location.description, location.priority,
                 location.max_sessions, server.address, server.port, server.secure_port);
  if (!rows.ok()) return base::NameTaken(rows.status(), kKind, location.display_name);
  return rows->at(0)[0].as<std::int64_t>();
}

absl::Status UpdateLocation(Tx& tx, const LocationRecord& location) {
  const LocationServer& server = location.server;
  return base::NameTaken(
      tx.Execute(kUpdate, location.id, location.display_name, location.description, location.priority,
                 location.max_sessions, server.address, server.port, server.secure_port)
          .status(),
      kKind, location.display_name);
}

absl::Status ReplaceLocationRules(Tx& tx, std::int64_t id, const std::vector<LocationRuleRecord>& rules) {
  std::vector<std::string> kinds, values;
  for (const LocationRuleRecord& rule : rules) {
    kinds.push_back(rule.kind);
    values.push_back(rule.value);
  }
  RETURN_IF_ERROR(tx.Execute(kDeleteRules, id).status());
  return tx.Execute(kInsertRules, id, kinds, values).status();
}

absl::Status DeleteLocation(Tx& tx, std::int64_t id) {
  return tx.Execute(kDelete, id).status();
}

absl::StatusOr<std::vector<PlacementRecord>> ListPlacements(Tx& tx, std::int64_t after_id, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListPlacements, after_id, limit));
  std::vector<PlacementRecord> placements;
  placements.reserve(rows.size());
  for (const auto& row : rows) {
    placements.push_back({row[0].as<std::int64_t>(), row[1].as<std::string>(), row[2].as<std::string>(),
                          row[3].as<std::string>(""), row[4].as<std::string>(), row[5].as<std::int64_t>()});
  }
  return placements;
}

absl::Status MoveDevices(Tx& tx, const std::vector<std::int64_t>& devices,
                         const std::vector<std::int64_t>& locations) {
  return tx.Execute(kMove, devices, locations).status();
}

}  // namespace phonepki::db
