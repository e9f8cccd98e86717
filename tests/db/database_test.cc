#include "db/database.h"

#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/barrier.h>
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>

#include "tests/testing/postgres.h"
#include "tests/testing/wait.h"

namespace phonepki::db {
namespace {

class DatabaseTest : public phonepki::testing::PostgresTest {
 protected:
  DatabaseTest() : PostgresTest(phonepki::testing::NewEmptyDatabase()) {
    Sql("CREATE TABLE counter (id integer PRIMARY KEY, value integer NOT NULL CHECK (value >= 0));"
        "CREATE TABLE detail (counter_id integer REFERENCES counter (id));"
        "INSERT INTO counter VALUES (1, 0), (2, 0)");
  }

  int Counter(int id) const { return Value<int>(absl::StrCat("SELECT value FROM counter WHERE id = ", id)); }
};

constexpr Query kRaise{"test_raise", "UPDATE counter SET value = value + 1 WHERE id = $1"};
constexpr Query kSet{"test_set", "UPDATE counter SET value = $2 WHERE id = $1"};
constexpr Query kInsert{"test_insert", "INSERT INTO counter VALUES ($1, 0)"};
constexpr Query kOrphan{"test_orphan", "INSERT INTO detail VALUES ($1)"};
constexpr Query kRead{"test_read", "SELECT value FROM counter WHERE id = $1"};
constexpr Query kPid{"test_pid", "SELECT pg_backend_pid()"};
constexpr Query kSerializable{"test_serializable", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"};
constexpr Query kSleep{"test_sleep", "SELECT pg_sleep(60)"};

int BackendPid(Tx& tx) {
  auto rows = tx.Execute(kPid);
  EXPECT_OK(rows);
  return rows.ok() ? rows->at(0)[0].as<int>() : 0;
}

TEST_F(DatabaseTest, CommitsWhatEndsWell) {
  ASSERT_OK(database().InTransaction("t", [](Tx& tx) { return tx.Execute(kRaise, 1).status(); }));
  EXPECT_EQ(Counter(1), 1);
}

TEST_F(DatabaseTest, RollsBackWhatEndsInAnErrorOfTheCaller) {
  int runs = 0;
  EXPECT_CODE(database().InTransaction("t",
                                       [&](Tx& tx) -> absl::Status {
                                         ++runs;
                                         EXPECT_OK(tx.Execute(kRaise, 1));
                                         return absl::FailedPreconditionError("no");
                                       }),
              kFailedPrecondition);
  EXPECT_EQ(Counter(1), 0);
  EXPECT_EQ(runs, 1);
}

TEST_F(DatabaseTest, AnErrorInTheMiddleRollsBackWhatCameBefore) {
  EXPECT_REASON(database().InTransaction("t",
                                         [&](Tx& tx) -> absl::Status {
                                           EXPECT_OK(tx.Execute(kRaise, 1));
                                           return tx.Execute(kInsert, 2).status();
                                         }),
                "UNIQUE:counter_pkey");
  EXPECT_EQ(Counter(1), 0);
}

TEST_F(DatabaseTest, AnErrorThatTheCallerSwallowedIsNoSuccess) {
  const absl::Status status = database().InTransaction("t", [&](Tx& tx) -> absl::Status {
    EXPECT_OK(tx.Execute(kRaise, 1));
    EXPECT_FALSE(tx.Execute(kInsert, 2).ok());
    return absl::OkStatus();
  });
  EXPECT_FALSE(status.ok()) << "nothing was stored, so nothing succeeded";
  EXPECT_EQ(Counter(1), 0);
  EXPECT_OK(database().InTransaction("t", [](Tx& tx) { return tx.Execute(kRaise, 1).status(); }));
}

TEST_F(DatabaseTest, ConstraintsComeBackByNameAndKind) {
  const auto run = [&](const Query& query, auto... arguments) {
    return database().InTransaction("t", [&](Tx& tx) { return tx.Execute(query, arguments...).status(); });
  };
  const absl::Status unique = run(kInsert, 1);
  EXPECT_CODE(unique, kAlreadyExists);
  EXPECT_REASON(unique, "UNIQUE:counter_pkey");
  const absl::Status foreign = run(kOrphan, 99);
  EXPECT_CODE(foreign, kFailedPrecondition);
  EXPECT_REASON(foreign, "FOREIGN_KEY:detail_counter_id_fkey");
  const absl::Status check = run(kSet, 1, -1);
  EXPECT_CODE(check, kInvalidArgument);
  EXPECT_REASON(check, "CHECK:counter_value_check");
}

TEST_F(DatabaseTest, TwoSerializableIncrementsBothCount) {
  absl::Barrier* read = new absl::Barrier(2);
  std::atomic<int> runs{0};
  const auto increment = [&](bool* met) {
    return database().InTransaction("t", [&, met](Tx& tx) -> absl::Status {
      ++runs;
      EXPECT_OK(tx.Execute(kSerializable));
      auto rows = tx.Execute(kRead, 1);
      if (!rows.ok()) return rows.status();
      if (!*met) {
        *met = true;
        if (read->Block()) delete read;
      }
      return tx.Execute(kSet, 1, rows->at(0)[0].as<int>() + 1).status();
    });
  };
  bool met_a = false, met_b = false;
  absl::Status a;
  std::thread other([&] { a = increment(&met_a); });
  const absl::Status b = increment(&met_b);
  other.join();
  EXPECT_OK(a);
  EXPECT_OK(b);
  EXPECT_EQ(Counter(1), 2);
  EXPECT_GE(runs, 3) << "one of them must have started over";
}

TEST_F(DatabaseTest, ADeadlockIsResolvedByStartingOver) {
  absl::Barrier* locked = new absl::Barrier(2);
  const auto raise_both = [&](int first, int second, bool* met) {
    return database().InTransaction("t", [&, met, first, second](Tx& tx) -> absl::Status {
      if (auto one = tx.Execute(kRaise, first); !one.ok()) return one.status();
      if (!*met) {
        *met = true;
        if (locked->Block()) delete locked;
      }
      return tx.Execute(kRaise, second).status();
    });
  };
  bool met_a = false, met_b = false;
  absl::Status a;
  std::thread other([&] { a = raise_both(1, 2, &met_a); });
  const absl::Status b = raise_both(2, 1, &met_b);
  other.join();
  EXPECT_OK(a);
  EXPECT_OK(b);
  EXPECT_EQ(Counter(1), 2);
  EXPECT_EQ(Counter(2), 2);
}

TEST_F(DatabaseTest, AReasonedAbortIsTheCallersAndIsNotRepeated) {
  int runs = 0;
  EXPECT_REASON(database().InTransaction("t",
                                         [&](Tx&) {
                                           ++runs;
                                           return base::WithReason(absl::AbortedError("changed"), "ETAG");
                                         }),
                "ETAG");
  EXPECT_EQ(runs, 1);
}

TEST_F(DatabaseTest, AnEndlessConflictIsGivenUp) {
  int runs = 0;
  EXPECT_CODE(database().InTransaction("t",
                                       [&](Tx&) {
                                         ++runs;
                                         return absl::AbortedError("again");
                                       }),
              kAborted);
  EXPECT_GT(runs, 1);
  EXPECT_LT(runs, 20);
}

TEST_F(DatabaseTest, AConnectionLostInTheMiddleIsUnavailableAndNotRepeated) {
  int runs = 0;
  const absl::Status status = database().InTransaction("t", [&](Tx& tx) -> absl::Status {
    ++runs;
    EXPECT_OK(tx.Execute(kRaise, 1));
    Sql(absl::StrCat("SELECT pg_terminate_backend(", BackendPid(tx), ", 10000)"));
    return tx.Execute(kRaise, 2).status();
  });
  EXPECT_CODE(status, kUnavailable);
  EXPECT_REASON(status, "DATABASE_UNAVAILABLE");
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(Counter(1), 0);
  EXPECT_OK(database().Ping());
}

TEST_F(DatabaseTest, AConnectionLostBeforeTheCommitIsNoSuccess) {
  const absl::Status status = database().InTransaction("t", [&](Tx& tx) -> absl::Status {
    EXPECT_OK(tx.Execute(kRaise, 1));
    Sql(absl::StrCat("SELECT pg_terminate_backend(", BackendPid(tx), ", 10000)"));
    return absl::OkStatus();
  });
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(absl::IsAborted(status));
  EXPECT_EQ(Counter(1), 0);
}

TEST_F(DatabaseTest, AWholePoolOfDeadConnectionsIsReplacedUnnoticed) {
  constexpr int kPool = 12;
  auto pool = OpenDatabase(kPool);
  absl::Barrier* all = new absl::Barrier(kPool);
  std::vector<std::thread> threads;
  for (int i = 0; i < kPool; ++i) {
    threads.emplace_back([&] {
      EXPECT_OK(pool->InTransaction("t", [&](Tx& tx) -> absl::Status {
        auto pid = tx.Execute(kPid);
        if (all->Block()) delete all;
        return pid.status();
      }));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(Value<int>("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
                       " WHERE datname = current_database() AND pid <> pg_backend_pid()"),
            kPool);
  EXPECT_OK(pool->InTransaction("t", [](Tx& tx) { return tx.Execute(kRaise, 1).status(); }));
  EXPECT_EQ(Counter(1), 1);
}

TEST_F(DatabaseTest, NobodyThereIsUnavailable) {
  Database::Options options;
  options.url = "host=/var/tmp/no-such-socket dbname=x";
  Database nowhere(options);
  EXPECT_CODE(nowhere.Ping(), kUnavailable);
  EXPECT_REASON(nowhere.Ping(), "DATABASE_UNAVAILABLE");
}

TEST_F(DatabaseTest, AFullPoolIsBusyAfterTheTimeToAcquire) {
  Database::Options options;
  options.url = url();
  options.pool_size = 1;
  options.acquire_timeout = absl::Milliseconds(50);
  Database small(options);
  EXPECT_OK(small.InTransaction("outer", [&](Tx&) {
    EXPECT_REASON(small.Ping(), "DATABASE_BUSY");
    return absl::OkStatus();
  }));
  EXPECT_OK(small.Ping());
}

TEST_F(DatabaseTest, ALongStatementRunsIntoItsTimeOut) {
  Database::Options options;
  options.url = url();
  options.statement_timeout = absl::Milliseconds(50);
  Database impatient(options);
  EXPECT_CODE(impatient.InTransaction("t", [](Tx& tx) { return tx.Execute(kSleep).status(); }),
              kDeadlineExceeded);
  EXPECT_OK(impatient.Ping());
}

TEST_F(DatabaseTest, AStatementThatFailedOnceWorksOnTheSameConnectionLater) {
  Database::Options options;
  options.url = url();
  options.pool_size = 1;
  Database one(options);
  static constexpr Query kLate{"test_late", "SELECT count(*) FROM comes_later"};
  const auto count = [&] {
    return one.InTransaction("t", [](Tx& tx) { return tx.Execute(kLate).status(); });
  };
  EXPECT_CODE(count(), kInternal);
  Sql("CREATE TABLE comes_later (id integer)");
  EXPECT_OK(count());
}

TEST_F(DatabaseTest, ArraysKeepQuotesBackslashesAndEmptyStrings) {
  static constexpr Query kJoin{"test_join", "SELECT array_to_string($1::text[], '|')"};
  static constexpr Query kBytes{"test_bytes", "SELECT $1::bytea[]"};
  const std::vector<std::string> words{"a\"b", "c\\d", "", "{e,f}", "NULL", "\xc3\xa4"};
  const std::vector<base::Bytes> octets{{0, 1, 255}, {}, {'\\', '"'}};
  EXPECT_OK(database().InTransaction("t", [&](Tx& tx) -> absl::Status {
    auto joined = tx.Execute(kJoin, words);
    if (!joined.ok()) return joined.status();
    EXPECT_EQ(joined->at(0)[0].as<std::string>(), "a\"b|c\\d||{e,f}|NULL|\xc3\xa4");
    auto bytes = tx.Execute(kBytes, octets);
    if (!bytes.ok()) return bytes.status();
    EXPECT_EQ(ToBytesArray(bytes->at(0)[0]), octets);
    return absl::OkStatus();
  }));
}

TEST_F(DatabaseTest, TimesKeepTheirMicroseconds) {
  static constexpr Query kTime{
      "test_time", "SELECT (extract(epoch FROM $1::timestamptz) * 1000000)::bigint, NULL::bigint"};
  const absl::Time time = absl::FromUnixMicros(2147483648123457);  // past 2038
  EXPECT_OK(database().InTransaction("t", [&](Tx& tx) -> absl::Status {
    auto rows = tx.Execute(kTime, time);
    if (!rows.ok()) return rows.status();
    EXPECT_EQ(ToTime(rows->at(0)[0]), time);
    EXPECT_EQ(ToOptionalTime(rows->at(0)[1]), std::nullopt);
    return absl::OkStatus();
  }));
}

}  // namespace
}  // namespace phonepki::db
