// Schema migrations, compiled in from db/migrations/V*.sql. The rules are in db/migrations/README.md.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "db/database.h"

namespace phonepki::db {

struct Migration {
  int version;
  const char* name;
  bool breaking;
  const char* sql;
};

// Ascending by version. Generated at build time.
extern const Migration kMigrations[];
extern const int kMigrationCount;

// Applies what is missing, each migration in a transaction of its own. Several replicas may call it at once.
absl::Status Migrate(Database& database);
// 0 for an empty database.
absl::StatusOr<int> SchemaVersion(Database& database);
// For a server that is about to start. kFailedPrecondition, reasons:
//   SCHEMA_TOO_OLD  run `phonepkid migrate`
//   SCHEMA_TOO_NEW  a later release made a breaking change; start that release
absl::Status CheckSchema(Database& database);

}  // namespace phonepki::db
