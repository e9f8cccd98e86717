// Plug-in configurations (B-020 to B-025) and connector configurations (B-030 to B-036).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "db/database.h"

namespace phonepki::db {

using Properties = std::vector<std::pair<std::string, std::string>>;  // sorted by name

struct IssuingCaRecord {
  std::int64_t ca_id = 0;
  std::string display_name;
  bool exists = false;
  bool enabled = false;
};

struct PluginRecord {
  std::int64_t id = 0;
  std::string display_name;
  std::string description;
  bool enabled = false;
  absl::Time created_at;
  Properties properties;
  std::vector<IssuingCaRecord> issuing_cas;
};

struct ConnectorRecord {
  std::int64_t id = 0;
  std::string display_name;
  std::string description;
  bool enabled = false;
  std::optional<std::int64_t> plugin_id;
  std::string plugin_display_name;
  std::optional<std::int64_t> issuing_ca_id;
  std::string issuing_ca_display_name;
  base::Bytes trust_anchor;  // empty until imported
  absl::Time created_at;
  Properties request_parameters;
};

absl::StatusOr<std::int64_t> InsertPlugin(Tx& tx, const std::string& display_name,
                                          const std::string& description);
absl::StatusOr<PluginRecord> GetPlugin(Tx& tx, std::int64_t id);  // kNotFound
absl::StatusOr<PluginRecord> LockPlugin(Tx& tx, std::int64_t id);
absl::StatusOr<std::int64_t> FindPluginByDisplayName(Tx& tx, const std::string& display_name);
absl::StatusOr<std::vector<PluginRecord>> ListPlugins(Tx& tx, std::int64_t after, int limit);
absl::Status UpdatePlugin(Tx& tx, std::int64_t id, const std::string& display_name,
                          const std::string& description);
absl::Status ReplacePluginProperties(Tx& tx, std::int64_t id, const Properties& properties);
absl::Status SetPluginEnabled(Tx& tx, std::int64_t id, bool enabled);
absl::Status DeletePlugin(Tx& tx, std::int64_t id);
// Takes over all enabled internal CAs; those gone or disabled stay listed only while a connector of this
// plug-in names them. Returns the display names newly added.
absl::StatusOr<std::vector<std::string>> SynchronizePlugin(Tx& tx, std::int64_t id);
// "enabled_only": connectors that would stop issuing.
absl::StatusOr<std::vector<std::string>> ListConnectorsOfPlugin(Tx& tx, std::int64_t id, bool enabled_only);

absl::StatusOr<std::int64_t> InsertConnector(Tx& tx, const ConnectorRecord& connector);
absl::StatusOr<ConnectorRecord> GetConnector(Tx& tx, std::int64_t id);  // kNotFound
absl::StatusOr<ConnectorRecord> LockConnector(Tx& tx, std::int64_t id);
absl::StatusOr<std::int64_t> FindConnectorByDisplayName(Tx& tx, const std::string& display_name);
absl::StatusOr<std::vector<ConnectorRecord>> ListConnectors(Tx& tx, std::int64_t after, int limit);
absl::Status UpdateConnector(Tx& tx, const ConnectorRecord& connector);  // everything but request parameters
absl::Status ReplaceRequestParameters(Tx& tx, std::int64_t id, const Properties& parameters);
absl::Status DeleteConnector(Tx& tx, std::int64_t id);

}  // namespace phonepki::db
