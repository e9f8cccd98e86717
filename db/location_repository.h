// Locations, their rules, and where phones are placed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::db {

struct LocationRuleRecord {
  std::string kind;  // cidr, e164_prefix, device_type, device
  std::string value;
};

// Where the phones of a location call, as far as it is not what the configuration says.
struct LocationServer {
  std::string address;  // IP address or host name; empty: that of the configuration
  int port = 0;         // default mode, goes with the address; 0: that of the configuration
  int secure_port = 0;  // secure mode; likewise
};

struct LocationRecord {
  std::int64_t id = 0;
  std::string display_name;
  std::string description;
  int priority = 100;
  bool is_default = false;
  int max_sessions = 0;
  LocationServer server;
  std::vector<LocationRuleRecord> rules;
};

// The facts that rules look at.
struct PlacementRecord {
  std::int64_t device_id = 0;
  std::string mac;
  std::string e164;
  std::string ip_address;  // empty when unknown
  std::string device_type;
  std::int64_t location_id = 0;
};

// Placing a phone and starting a deployment must not pass each other unseen. Shared: whoever places a phone.
// Exclusive: whoever changes rules or creates the jobs of a whole location. Held until the transaction ends.
absl::Status LockPlacementShared(Tx& tx);
absl::Status LockPlacementExclusive(Tx& tx);

absl::StatusOr<std::int64_t> GetLocationRevision(Tx& tx);
// Call under LockPlacementExclusive after changing rules.
absl::Status BumpLocationRevision(Tx& tx);

// All locations with their rules, ordered by id.
absl::StatusOr<std::vector<LocationRecord>> LoadLocations(Tx& tx);
// kNotFound.
absl::StatusOr<LocationRecord> GetLocation(Tx& tx, std::int64_t id);
// Those of these that exist, in no order and without their rules: a location may have one for each phone.
absl::StatusOr<std::vector<LocationRecord>> GetLocationsWithoutRules(Tx& tx,
                                                                     const std::vector<std::int64_t>& ids);
absl::StatusOr<std::int64_t> FindLocationByDisplayName(Tx& tx, const std::string& display_name);
// Ids greater than `after`, ascending.
absl::StatusOr<std::vector<LocationRecord>> ListLocations(Tx& tx, std::int64_t after, int limit);
absl::StatusOr<std::int64_t> CountDevices(Tx& tx, std::int64_t location_id);
// What phones are told to call, once each.
absl::StatusOr<std::vector<std::string>> ListServerAddresses(Tx& tx);

// kAlreadyExists when the display name is taken.
absl::StatusOr<std::int64_t> InsertLocation(Tx& tx, const LocationRecord& location);
absl::Status UpdateLocation(Tx& tx, const LocationRecord& location);
absl::Status ReplaceLocationRules(Tx& tx, std::int64_t id, const std::vector<LocationRuleRecord>& rules);
absl::Status DeleteLocation(Tx& tx, std::int64_t id);

// Devices after `after_id` in id order, for placing a whole fleet in bounded steps.
absl::StatusOr<std::vector<PlacementRecord>> ListPlacements(Tx& tx, std::int64_t after_id, int limit);
// Moves devices[i] to locations[i].
absl::Status MoveDevices(Tx& tx, const std::vector<std::int64_t>& devices,
                         const std::vector<std::int64_t>& locations);

}  // namespace phonepki::db
