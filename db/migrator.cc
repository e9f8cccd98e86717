#include "db/migrator.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr Query kLock{"migration_lock", "SELECT pg_advisory_xact_lock(716000)"};
constexpr Query kCreateTable{"migration_create_table", R"sql(
  CREATE TABLE IF NOT EXISTS schema_migration (
    version integer PRIMARY KEY, name text NOT NULL, breaking boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()))sql"};
constexpr Query kExists{"migration_table_exists", "SELECT to_regclass('schema_migration') IS NOT NULL"};
constexpr Query kVersion{"migration_version", "SELECT coalesce(max(version), 0) FROM schema_migration"};
constexpr Query kBreaking{"migration_breaking_after",
                          "SELECT count(*) FROM schema_migration WHERE version > $1 AND breaking"};
constexpr Query kInsert{"migration_insert",
                        "INSERT INTO schema_migration (version, name, breaking) VALUES ($1, $2, $3)"};

absl::StatusOr<int> Version(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result exists, tx.Execute(kExists));
  if (!exists.at(0)[0].as<bool>()) return 0;
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kVersion));
  return rows.at(0)[0].as<int>();
}

absl::Status Apply(Database& database, const Migration& migration) {
  return database.InTransaction("migrate", [&](Tx& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Execute(kLock).status());
    RETURN_IF_ERROR(tx.Execute(kCreateTable).status());
    ASSIGN_OR_RETURN(int version, Version(tx));
    if (version >= migration.version) return absl::OkStatus();
    RETURN_IF_ERROR(tx.Execute(kInsert, migration.version, migration.name, migration.breaking).status());
    RETURN_IF_ERROR(tx.ExecuteScript(migration.sql).status());
    base::LogInfo("schema_migrated", {{"version", migration.version}, {"name", migration.name}});
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status Migrate(Database& database) {
  ASSIGN_OR_RETURN(int version, SchemaVersion(database));
  for (int i = 0; i < kMigrationCount; ++i) {
    if (kMigrations[i].version > version) RETURN_IF_ERROR(Apply(database, kMigrations[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> SchemaVersion(Database& database) {
  return database.InTransactionReturning("schema_version", [](Tx& tx) { return Version(tx); });
}

absl::Status CheckSchema(Database& database) {
  const int known = kMigrationCount == 0 ? 0 : kMigrations[kMigrationCount - 1].version;
  return database.InTransaction("schema_check", [&](Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(int version, Version(tx));
    if (version < known) {
      return base::WithReason(absl::FailedPreconditionError(absl::StrCat("the database schema is at version ",
                                                                         version, ", this server needs ",
                                                                         known, ": run `phonepkid migrate`")),
                              "SCHEMA_TOO_OLD");
    }
    if (version == known) return absl::OkStatus();
    ASSIGN_OR_RETURN(pqxx::result breaking, tx.Execute(kBreaking, known));
    if (breaking.at(0)[0].as<int>() == 0) return absl::OkStatus();
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat("the database schema is at version ", version,
                                                   " with a breaking change that this server (", known,
                                                   ") does not know: start the newer release")),
        "SCHEMA_TOO_NEW");
  });
}

}  // namespace phonepki::db
