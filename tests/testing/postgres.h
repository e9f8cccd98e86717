// One private PostgreSQL per test binary, a fresh migrated database per test.
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <pqxx/pqxx>

#include "db/database.h"
#include "tests/testing/status.h"

namespace phonepki::testing {

// The connection string of a new database, empty or with the newest schema. Starts PostgreSQL at the first
// call; it ends with the process.
std::string NewEmptyDatabase();
std::string NewMigratedDatabase();

class PostgresTest : public ::testing::Test {
 protected:
  PostgresTest();
  explicit PostgresTest(std::string url);

  db::Database& database() { return *database_; }
  const std::string& url() const { return url_; }
  // A further pool on the same database, as another replica has it.
  std::unique_ptr<db::Database> OpenDatabase(int pool_size = 4) const;

  // Behind the repositories' back, committed at once.
  pqxx::result Sql(const std::string& sql) const;
  template <typename T>
  T Value(const std::string& sql) const {
    return Sql(sql).at(0)[0].as<T>();
  }

  // The value of fn(tx), committed; any error fails the test.
  template <typename F>
  auto Do(F fn) {
    auto result = database_->InTransactionReturning("test", fn);
    EXPECT_TRUE(result.ok()) << result.status();
    using T = typename decltype(result)::value_type;
    return result.ok() ? std::move(*result) : T{};
  }
  template <typename F>
  void Run(F fn) {
    EXPECT_OK(database_->InTransaction("test", fn));
  }

 private:
  const std::string url_;
  const std::unique_ptr<db::Database> database_;
};

}  // namespace phonepki::testing
