#include "db/plugin_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

#define CONNECTOR_COLUMNS                                                                       \
  "c.id, c.display_name, c.description, c.enabled, c.plugin_id, coalesce(p.display_name, ''), " \
  "c.issuing_ca_id, coalesce(a.display_name, ''), c.trust_anchor, to_usec(c.created_at)"
#define CONNECTOR_TABLES                                                                          \
  " FROM connector c LEFT JOIN plugin p ON p.id = c.plugin_id LEFT JOIN internal_ca a ON a.id = " \
  "c.issuing_ca_id "

namespace phonepki::db {
namespace {

constexpr char kPluginKind[] = "a plug-in";
constexpr char kConnectorKind[] = "a connector";

constexpr Query kInsertPlugin{"plugin_insert",
                              "INSERT INTO plugin (display_name, description) VALUES ($1, $2) RETURNING id"};
constexpr Query kGetPlugin{
    "plugin_get",
    "SELECT id, display_name, description, enabled, to_usec(created_at) FROM plugin WHERE id = $1"};
constexpr Query kLockPlugin{"plugin_lock", R"sql(
  SELECT id, display_name, description, enabled, to_usec(created_at) FROM plugin WHERE id = $1 FOR UPDATE)sql"};
constexpr Query kFindPlugin{"plugin_find_by_name", "SELECT id FROM plugin WHERE display_name = $1"};
constexpr Query kListPlugins{"plugin_list", "SELECT id FROM plugin WHERE id > $1 ORDER BY id LIMIT $2"};
constexpr Query kUpdatePlugin{"plugin_update",
                              "UPDATE plugin SET display_name = $2, description = $3 WHERE id = $1"};
constexpr Query kProperties{"plugin_properties",
                            "SELECT name, value FROM plugin_property WHERE plugin_id = $1 ORDER BY name"};
constexpr Query kDeleteProperties{"plugin_properties_delete",
                                  "DELETE FROM plugin_property WHERE plugin_id = $1"};
constexpr Query kInsertProperties{"plugin_properties_insert", R"sql(
  INSERT INTO plugin_property (plugin_id, name, value)
  SELECT $1, name, value FROM unnest($2::text[], $3::text[]) AS p (name, value))sql"};
constexpr Query kSetPluginEnabled{"plugin_set_enabled", "UPDATE plugin SET enabled = $2 WHERE id = $1"};
constexpr Query kDeletePlugin{"plugin_delete", "DELETE FROM plugin WHERE id = $1"};
constexpr Query kIssuingCas{"plugin_issuing_cas", R"sql(
  SELECT i.ca_id, coalesce(a.display_name, i.display_name), a.id IS NOT NULL, coalesce(a.enabled, false)
    FROM plugin_issuing_ca i LEFT JOIN internal_ca a ON a.id = i.ca_id
   WHERE i.plugin_id = $1 ORDER BY i.ca_id)sql"};
constexpr Query kDropUnused{"plugin_issuing_ca_drop", R"sql(
  DELETE FROM plugin_issuing_ca i
   WHERE i.plugin_id = $1
     AND NOT EXISTS (SELECT 1 FROM internal_ca a WHERE a.id = i.ca_id AND a.enabled)
     AND NOT EXISTS (SELECT 1 FROM connector c WHERE c.plugin_id = $1 AND c.issuing_ca_id = i.ca_id))sql"};
constexpr Query kAddEnabled{"plugin_issuing_ca_add", R"sql(
  INSERT INTO plugin_issuing_ca (plugin_id, ca_id, display_name)
  SELECT $1, id, display_name FROM internal_ca WHERE enabled ORDER BY id
      ON CONFLICT DO NOTHING
  RETURNING display_name)sql"};
constexpr Query kConnectorsOfPlugin{"plugin_connectors", R"sql(
  SELECT display_name FROM connector WHERE plugin_id = $1 AND (enabled OR NOT $2) ORDER BY display_name)sql"};

constexpr Query kInsertConnector{
    "connector_insert", "INSERT INTO connector (display_name, description) VALUES ($1, $2) RETURNING id"};
constexpr Query kGetConnector{"connector_get",
                              "SELECT " CONNECTOR_COLUMNS CONNECTOR_TABLES "WHERE c.id = $1"};
constexpr Query kLockConnector{
    "connector_lock", "SELECT " CONNECTOR_COLUMNS CONNECTOR_TABLES "WHERE c.id = $1 FOR UPDATE OF c"};
constexpr Query kFindConnector{"connector_find_by_name", "SELECT id FROM connector WHERE display_name = $1"};
constexpr Query kListConnectors{"connector_list",
                                "SELECT id FROM connector WHERE id > $1 ORDER BY id LIMIT $2"};
constexpr Query kUpdateConnector{"connector_update", R"sql(
  UPDATE connector
     SET display_name = $2, description = $3, enabled = $4, plugin_id = $5, issuing_ca_id = $6,
         trust_anchor = $7
   WHERE id = $1)sql"};
constexpr Query kClearAnchor{"connector_clear_anchor", R"sql(
  UPDATE connector
     SET display_name = $2, description = $3, enabled = $4, plugin_id = $5, issuing_ca_id = $6,
         trust_anchor = NULL
   WHERE id = $1)sql"};
constexpr Query kParameters{"connector_parameters", R"sql(
  SELECT name, value FROM connector_request_parameter WHERE connector_id = $1 ORDER BY name)sql"};
constexpr Query kDeleteParameters{"connector_parameters_delete",
                                  "DELETE FROM connector_request_parameter WHERE connector_id = $1"};
constexpr Query kInsertParameters{"connector_parameters_insert", R"sql(
  INSERT INTO connector_request_parameter (connector_id, name, value)
  SELECT $1, name, value FROM unnest($2::text[], $3::text[]) AS p (name, value))sql"};
constexpr Query kDeleteConnector{"connector_delete", "DELETE FROM connector WHERE id = $1"};

absl::StatusOr<Properties> LoadProperties(Tx& tx, const Query& query, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, id));
  Properties properties;
  for (const auto& row : rows) properties.emplace_back(row[0].as<std::string>(), row[1].as<std::string>());
  return properties;
}

absl::Status StoreProperties(Tx& tx, const Query& clear, const Query& insert, std::int64_t id,
                             const Properties& properties) {
  std::vector<std::string> names, values;
  for (const auto& [name, value] : properties) {
    names.push_back(name);
    values.push_back(value);
  }
  RETURN_IF_ERROR(tx.Execute(clear, id).status());
  return tx.Execute(insert, id, names, values).status();
}

absl::StatusOr<std::int64_t> FindByName(Tx& tx, const Query& query, const char* kind,
                                        const std::string& name) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, name));
  if (rows.empty()) return base::NotFound(absl::StrCat("no ", kind, " is named \"", name, "\""));
  return rows[0][0].as<std::int64_t>();
}

std::vector<std::string> ToTexts(const pqxx::result& rows) {
  std::vector<std::string> texts;
  for (const auto& row : rows) texts.push_back(row[0].as<std::string>());
  return texts;
}

absl::StatusOr<PluginRecord> OnePlugin(Tx& tx, const Query& query, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no plug-in configuration plugins/", id));
  PluginRecord plugin;
  plugin.id = id;
  plugin.display_name = rows[0][1].as<std::string>();
  plugin.description = rows[0][2].as<std::string>();
  plugin.enabled = rows[0][3].as<bool>();
  plugin.created_at = ToTime(rows[0][4]);
  ASSIGN_OR_RETURN(plugin.properties, LoadProperties(tx, kProperties, id));
  ASSIGN_OR_RETURN(pqxx::result cas, tx.Execute(kIssuingCas, id));
  for (const auto& row : cas) {
    plugin.issuing_cas.push_back(
        {row[0].as<std::int64_t>(), row[1].as<std::string>(), row[2].as<bool>(), row[3].as<bool>()});
  }
  return plugin;
}

absl::StatusOr<ConnectorRecord> OneConnector(Tx& tx, const Query& query, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no connector configuration connectors/", id));
  const auto& row = rows[0];
  ConnectorRecord connector;
  connector.id = id;
  connector.display_name = row[1].as<std::string>();
  connector.description = row[2].as<std::string>();
  connector.enabled = row[3].as<bool>();
  if (!row[4].is_null()) connector.plugin_id = row[4].as<std::int64_t>();
  connector.plugin_display_name = row[5].as<std::string>();
  if (!row[6].is_null()) connector.issuing_ca_id = row[6].as<std::int64_t>();
  connector.issuing_ca_display_name = row[7].as<std::string>();
  connector.trust_anchor = ToBytes(row[8]);
  connector.created_at = ToTime(row[9]);
  ASSIGN_OR_RETURN(connector.request_parameters, LoadProperties(tx, kParameters, id));
  return connector;
}

}  // namespace

absl::StatusOr<std::int64_t> InsertPlugin(Tx& tx, const std::string& display_name,
                                          const std::string& description) {
  absl::StatusOr<pqxx::result> rows = tx.Execute(kInsertPlugin, display_name, description);
  if (!rows.ok()) return base::NameTaken(rows.status(), kPluginKind, display_name);
  return rows->at(0)[0].as<std::int64_t>();
}

absl::StatusOr<PluginRecord> GetPlugin(Tx& tx, std::int64_t id) {
  return OnePlugin(tx, kGetPlugin, id);
}
absl::StatusOr<PluginRecord> LockPlugin(Tx& tx, std::int64_t id) {
  return OnePlugin(tx, kLockPlugin, id);
}

absl::StatusOr<std::int64_t> FindPluginByDisplayName(Tx& tx, const std::string& display_name) {
  return FindByName(tx, kFindPlugin, "plug-in configuration", display_name);
}

absl::StatusOr<std::vector<PluginRecord>> ListPlugins(Tx& tx, std::int64_t after, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListPlugins, after, limit));
  std::vector<PluginRecord> plugins;
  for (const auto& row : rows) {
    ASSIGN_OR_RETURN(PluginRecord plugin, GetPlugin(tx, row[0].as<std::int64_t>()));
    plugins.push_back(std::move(plugin));
  }
  return plugins;
}

absl::Status UpdatePlugin(Tx& tx, std::int64_t id, const std::string& display_name,
                          const std::string& description) {
  return base::NameTaken(tx.Execute(kUpdatePlugin, id, display_name, description).status(), kPluginKind,
                         display_name);
}

absl::Status ReplacePluginProperties(Tx& tx, std::int64_t id, const Properties& properties) {
  return StoreProperties(tx, kDeleteProperties, kInsertProperties, id, properties);
}

absl::Status SetPluginEnabled(Tx& tx, std::int64_t id, bool enabled) {
  return tx.Execute(kSetPluginEnabled, id, enabled).status();
}

absl::Status DeletePlugin(Tx& tx, std::int64_t id) {
  return tx.Execute(kDeletePlugin, id).status();
}

absl::StatusOr<std::vector<std::string>> SynchronizePlugin(Tx& tx, std::int64_t id) {
  RETURN_IF_ERROR(tx.Execute(kDropUnused, id).status());
  ASSIGN_OR_RETURN(pqxx::result added, tx.Execute(kAddEnabled, id));
  return ToTexts(added);
}

absl::StatusOr<std::vector<std::string>> ListConnectorsOfPlugin(Tx& tx, std::int64_t id, bool enabled_only) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kConnectorsOfPlugin, id, enabled_only));
  return ToTexts(rows);
}

absl::StatusOr<std::int64_t> InsertConnector(Tx& tx, const ConnectorRecord& connector) {
  absl::StatusOr<pqxx::result> rows =
      tx.Execute(kInsertConnector, connector.display_name, connector.description);
  if (!rows.ok()) return base::NameTaken(rows.status(), kConnectorKind, connector.display_name);
  return rows->at(0)[0].as<std::int64_t>();
}

absl::StatusOr<ConnectorRecord> GetConnector(Tx& tx, std::int64_t id) {
  return OneConnector(tx, kGetConnector, id);
}
absl::StatusOr<ConnectorRecord> LockConnector(Tx& tx, std::int64_t id) {
  return OneConnector(tx, kLockConnector, id);
}

absl::StatusOr<std::int64_t> FindConnectorByDisplayName(Tx& tx, const std::string& display_name) {
  return FindByName(tx, kFindConnector, "connector configuration", display_name);
}

absl::StatusOr<std::vector<ConnectorRecord>> ListConnectors(Tx& tx, std::int64_t after, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListConnectors, after, limit));
  std::vector<ConnectorRecord> connectors;
  for (const auto& row : rows) {
    ASSIGN_OR_RETURN(ConnectorRecord connector, GetConnector(tx, row[0].as<std::int64_t>()));
    connectors.push_back(std::move(connector));
  }
  return connectors;
}

absl::Status UpdateConnector(Tx& tx, const ConnectorRecord& c) {
  absl::StatusOr<pqxx::result> updated =
      c.trust_anchor.empty() ? tx.Execute(kClearAnchor, c.id, c.display_name, c.description, c.enabled,
                                          c.plugin_id, c.issuing_ca_id)
                             : tx.Execute(kUpdateConnector, c.id, c.display_name, c.description, c.enabled,
                                          c.plugin_id, c.issuing_ca_id, c.trust_anchor);
  return base::NameTaken(updated.status(), kConnectorKind, c.display_name);
}

absl::Status ReplaceRequestParameters(Tx& tx, std::int64_t id, const Properties& parameters) {
  return StoreProperties(tx, kDeleteParameters, kInsertParameters, id, parameters);
}

absl::Status DeleteConnector(Tx& tx, std::int64_t id) {
  return tx.Execute(kDeleteConnector, id).status();
}

}  // namespace phonepki::db
