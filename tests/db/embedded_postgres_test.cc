#include "db/embedded/embedded_postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/database.h"
#include "tests/testing/status.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait.h"

namespace phonepki::db {
namespace {

namespace fs = std::filesystem;
using phonepki::testing::TempDir;
using phonepki::testing::WaitUntil;

absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> Start(const std::string& directory) {
  EmbeddedPostgres::Options options;
  options.data_dir = directory;
  options.fsync = false;
  return EmbeddedPostgres::Start(options);
}

absl::Status Script(const EmbeddedPostgres& postgres, const std::string& sql) {
  Database::Options options;
  options.url = postgres.url();
  Database database(options);
  return database.InTransaction("t", [&](Tx& tx) { return tx.ExecuteScript(sql).status(); });
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool Alive(pid_t pid) {
  return kill(pid, 0) == 0;
}

TEST(EmbeddedPostgresTest, TheFirstStartMakesAClusterThatAnswers) {
  TempDir directory;
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  EXPECT_OK(Script(**postgres, "CREATE TABLE t (x integer)"));
  EXPECT_TRUE(Alive((*postgres)->pid()));
}

TEST(EmbeddedPostgresTest, KeepsItsDataOverARestart) {
  TempDir directory;
  for (int i = 0; i < 2; ++i) {
    auto postgres = Start(directory.path());
    ASSERT_OK(postgres);
    ASSERT_OK(Script(**postgres, i == 0 ? "CREATE TABLE t AS SELECT 7 AS x" : "SELECT 1 / (x - 6) FROM t"));
  }
}

TEST(EmbeddedPostgresTest, HasNoTcpPortAndAClosedSocketAndDirectory) {
  TempDir directory;
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  EXPECT_OK(Script(
      **postgres,
      "DO $$ BEGIN IF current_setting('listen_addresses') <> '' THEN RAISE 'listens'; END IF; END $$"));
  struct stat facts {};
  ASSERT_EQ(stat((directory.path() + "/postgres/data").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((directory.path() + "/postgres/run").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700u);
}

TEST(EmbeddedPostgresTest, AsRootPostgresRunsAsSomebodyElse) {
  TempDir directory;
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  struct stat process {};
  ASSERT_EQ(stat(absl::StrCat("/proc/", (*postgres)->pid()).c_str(), &process), 0);
  EXPECT_NE(process.st_uid, 0u);
  if (geteuid() != 0) {
    EXPECT_EQ(process.st_uid, geteuid());
  }
}

TEST(EmbeddedPostgresTest, ASecondStartOfTheDirectoryIsRefusedAndNamesTheHolder) {
  TempDir directory;
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  const auto second = Start(directory.path());
  EXPECT_CODE(second, kFailedPrecondition);
  EXPECT_REASON(second, "DATA_DIR_IN_USE");
  EXPECT_TRUE(absl::StrContains(second.status().message(), absl::StrCat("process ", getpid())))
      << second.status();
  EXPECT_TRUE(absl::StrContains(second.status().message(), directory.path())) << second.status();
  EXPECT_OK(Script(**postgres, "SELECT 1")) << "the first one is not disturbed";
}

TEST(EmbeddedPostgresTest, StopsCleanlyAndLeavesNoLock) {
  TempDir directory;
  pid_t pid = 0;
  {
    auto postgres = Start(directory.path());
    ASSERT_OK(postgres);
    pid = (*postgres)->pid();
  }
  EXPECT_FALSE(Alive(pid));
  EXPECT_FALSE(fs::exists(directory.path() + "/postgres/data/postmaster.pid"));
  const std::string log = ReadFile(directory.path() + "/postgres/postgres.log");
  EXPECT_TRUE(absl::StrContains(log, "database system is shut down"));
  EXPECT_OK(Start(directory.path()));
  EXPECT_FALSE(
      absl::StrContains(ReadFile(directory.path() + "/postgres/postgres.log"), "automatic recovery"));
}

TEST(EmbeddedPostgresTest, AStaleLockFileOfADeadServerIsRemoved) {
  TempDir directory;
  ASSERT_OK(Start(directory.path()));
  // A pid that lives but has nothing to do with the cluster: ours.
  const std::string lock = directory.path() + "/postgres/data/postmaster.pid";
  std::ofstream(lock) << getpid() << "\n"
                      << directory.path() << "/postgres/data\n1700000000\n5432\n"
                      << directory.path() << "/postgres/run\n\n";
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  EXPECT_OK(Script(**postgres, "SELECT 1"));
}

TEST(EmbeddedPostgresTest, AKilledServerIsStartedAgainAndKeepsWhatWasCommitted) {
  TempDir directory;
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  Database::Options options;
  options.url = (*postgres)->url();
  Database database(options);
  const auto run = [&](const char* sql) {
    return database.InTransaction("t", [&](Tx& tx) { return tx.ExecuteScript(sql).status(); });
  };
  ASSERT_OK(run("CREATE TABLE t AS SELECT 7 AS x"));
  const pid_t former = (*postgres)->pid();
  ASSERT_EQ(kill(former, SIGKILL), 0);
  ASSERT_TRUE(WaitUntil([&] { return (*postgres)->pid() != former && (*postgres)->pid() != 0; }));
  // The pool finds out by itself.
  EXPECT_TRUE(WaitUntil([&] { return run("SELECT 1 / (x - 6) FROM t").ok(); }));
}

TEST(EmbeddedPostgresTest, WithItsParentKilledTheServerStopsAndTheNextOneStarts) {
  TempDir directory;
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto postgres = Start(directory.path());
    const pid_t pid = postgres.ok() ? (*postgres)->pid() : 0;
    if (write(pipe_ends[1], &pid, sizeof pid) != sizeof pid) _exit(1);
    for (;;) pause();
  }
  close(pipe_ends[1]);
  pid_t postmaster = 0;
  ASSERT_EQ(read(pipe_ends[0], &postmaster, sizeof postmaster), static_cast<ssize_t>(sizeof postmaster));
  close(pipe_ends[0]);
  ASSERT_GT(postmaster, 0);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  auto postgres = Start(directory.path());  // while the former one may still be stopping
  ASSERT_OK(postgres);
  EXPECT_NE((*postgres)->pid(), postmaster);
  EXPECT_OK(Script(**postgres, "SELECT 1"));
}

TEST(EmbeddedPostgresTest, ADirectoryThatPostgresCannotEnterIsNamed) {
  TempDir directory;
  const std::string closed = directory.path() + "/closed";
  fs::create_directory(closed);
  fs::create_directory(closed + "/data");
  ASSERT_EQ(chmod(closed.c_str(), 0700), 0);
  const auto refused = Start(closed + "/data");
  if (geteuid() != 0) {  // PostgreSQL then runs as the user whom the directory belongs to
    EXPECT_OK(refused);
    return;
  }
  EXPECT_REASON(refused, "DATA_DIR_UNREACHABLE");
  EXPECT_TRUE(absl::StrContains(refused.status().message(), closed)) << refused.status();
}

TEST(EmbeddedPostgresTest, MissingBinariesAndUsersAreNamed) {
  TempDir directory;
  EmbeddedPostgres::Options options;
  options.data_dir = directory.path();
  options.binaries = "/var/tmp/no-such-directory";
  EXPECT_REASON(EmbeddedPostgres::Start(options), "POSTGRES_NOT_FOUND");
  if (geteuid() == 0) {
    options.binaries.clear();
    options.run_as = "no-such-user";
    EXPECT_REASON(EmbeddedPostgres::Start(options), "POSTGRES_NOT_FOUND");
  }
}

TEST(EmbeddedPostgresTest, ALongDirectoryNameGetsAnAbstractSocket) {
  TempDir directory;
  const std::string deep = directory.path() + "/" + std::string(120, 'x');
  fs::create_directory(deep);
  ASSERT_EQ(chmod(deep.c_str(), 0711), 0);
  auto postgres = Start(deep);
  ASSERT_OK(postgres);
  EXPECT_OK(Script(**postgres, "SELECT 1"));
}

TEST(EmbeddedPostgresTest, AnInterruptedInitialisationIsDoneAgain) {
  TempDir directory;
  fs::create_directories(directory.path() + "/postgres/data.new");
  std::ofstream(directory.path() + "/postgres/data.new/PG_VERSION") << "15\n";
  ASSERT_EQ(chmod((directory.path() + "/postgres").c_str(), 0711), 0);
  auto postgres = Start(directory.path());
  ASSERT_OK(postgres);
  EXPECT_OK(Script(**postgres, "SELECT 1"));
}

}  // namespace
}  // namespace phonepki::db
