#include "db/migrator.h"

#include <thread>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "tests/testing/postgres.h"

namespace phonepki::db {
namespace {

class MigratorTest : public phonepki::testing::PostgresTest {
 protected:
  MigratorTest() : PostgresTest(phonepki::testing::NewEmptyDatabase()) {}

  int Newest() const { return kMigrations[kMigrationCount - 1].version; }
  void RecordLater(bool breaking) const {
    Sql(absl::StrCat("INSERT INTO schema_migration (version, name, breaking) VALUES (", Newest() + 1,
                     ", 'later', ", breaking ? "true" : "false", ")"));
  }
};

TEST_F(MigratorTest, AnEmptyDatabaseIsTooOldAndSaysWhatToDo) {
  EXPECT_EQ(SchemaVersion(database()).value_or(-1), 0);
  const absl::Status status = CheckSchema(database());
  EXPECT_CODE(status, kFailedPrecondition);
  EXPECT_REASON(status, "SCHEMA_TOO_OLD");
  EXPECT_TRUE(absl::StrContains(status.message(), "phonepkid migrate")) << status;
}

TEST_F(MigratorTest, BringsAnEmptyDatabaseToTheNewestVersion) {
  ASSERT_OK(Migrate(database()));
  EXPECT_EQ(SchemaVersion(database()).value_or(-1), Newest());
  EXPECT_OK(CheckSchema(database()));
  EXPECT_EQ(Value<int>("SELECT count(*) FROM schema_migration"), kMigrationCount);
}

TEST_F(MigratorTest, ASecondRunChangesNothing) {
  ASSERT_OK(Migrate(database()));
  const std::string before = Value<std::string>("SELECT max(applied_at)::text FROM schema_migration");
  Sql("UPDATE location SET description = 'kept'");
  ASSERT_OK(Migrate(database()));
  EXPECT_EQ(Value<std::string>("SELECT max(applied_at)::text FROM schema_migration"), before);
  EXPECT_EQ(Value<std::string>("SELECT description FROM location"), "kept");
}

TEST_F(MigratorTest, ReplicasThatMigrateAtOnceDoNotDisturbEachOther) {
  constexpr int kReplicas = 4;
  std::vector<absl::Status> statuses(kReplicas);
  std::vector<std::thread> replicas;
  for (int i = 0; i < kReplicas; ++i) {
    replicas.emplace_back([&, i] { statuses[i] = Migrate(*OpenDatabase()); });
  }
  for (std::thread& replica : replicas) replica.join();
  for (const absl::Status& status : statuses) EXPECT_OK(status);
  EXPECT_EQ(Value<int>("SELECT count(*) FROM schema_migration"), kMigrationCount);
  EXPECT_EQ(Value<int>("SELECT count(*) FROM location"), 1);
}

TEST_F(MigratorTest, AHalfMigratedDatabaseIsFinished) {
  ASSERT_GE(kMigrationCount, 2);
  ASSERT_OK(Migrate(database()));
  const std::string migrated = phonepki::testing::NewEmptyDatabase();
  Database::Options options;
  options.url = migrated;
  Database half(options);
  ASSERT_OK(half.InTransaction("t", [](Tx& tx) -> absl::Status {
    EXPECT_OK(
        tx.ExecuteScript("CREATE TABLE schema_migration (version integer PRIMARY KEY, name text NOT NULL, "
                         "breaking boolean NOT NULL,"
                         " applied_at timestamptz NOT NULL DEFAULT now());"
                         "INSERT INTO schema_migration (version, name, breaking) VALUES (1, 'pki', false)"));
    return tx.ExecuteScript(kMigrations[0].sql).status();
  }));
  EXPECT_REASON(CheckSchema(half), "SCHEMA_TOO_OLD");
  EXPECT_OK(Migrate(half));
  EXPECT_OK(CheckSchema(half));
}

TEST_F(MigratorTest, ALaterBreakingSchemaIsRefused) {
  ASSERT_OK(Migrate(database()));
  RecordLater(true);
  const absl::Status status = CheckSchema(database());
  EXPECT_CODE(status, kFailedPrecondition);
  EXPECT_REASON(status, "SCHEMA_TOO_NEW");
}

TEST_F(MigratorTest, ALaterSchemaThatBreaksNothingIsAccepted) {
  ASSERT_OK(Migrate(database()));
  RecordLater(false);
  EXPECT_OK(CheckSchema(database()));
  EXPECT_OK(Migrate(database()));
  EXPECT_EQ(SchemaVersion(database()).value_or(-1), Newest() + 1);
}

TEST_F(MigratorTest, VersionsAscendWithoutGaps) {
  for (int i = 0; i < kMigrationCount; ++i) EXPECT_EQ(kMigrations[i].version, i + 1) << kMigrations[i].name;
}

}  // namespace
}  // namespace phonepki::db
