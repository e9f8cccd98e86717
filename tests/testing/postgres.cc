#include "tests/testing/postgres.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include <absl/strings/str_cat.h>

#include "db/embedded/embedded_postgres.h"
#include "db/migrator.h"
#include "tests/testing/temp_dir.h"

namespace phonepki::testing {
namespace {

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "PostgreSQL for tests: %s\n", status.ToString().c_str());
  std::abort();
}

// Its own database is migrated and then left alone: CREATE DATABASE copies a template that nobody is
// connected to.
class Server {
 public:
  Server() {
    db::EmbeddedPostgres::Options options;
    options.data_dir = directory_.path();
    options.fsync = false;
    auto postgres = db::EmbeddedPostgres::Start(options);
    Require(postgres.status());
    postgres_ = std::move(*postgres);
    db::Database::Options template_options;
    template_options.url = postgres_->url();
    db::Database migrated(template_options);
    Require(db::Migrate(migrated));
  }

  std::string NewDatabase(const std::string& from) {
    static std::atomic<int> count{0};
    const std::string name = absl::StrCat("test_", ++count);
    pqxx::connection connection(absl::StrCat(postgres_->url(), " dbname=postgres"));
    pqxx::nontransaction(connection).exec(absl::StrCat("CREATE DATABASE ", name, " TEMPLATE ", from));
    return absl::StrCat(postgres_->url(), " dbname=", name);
  }

 private:
  TempDir directory_;
  std::unique_ptr<db::EmbeddedPostgres> postgres_;
};

Server& TheServer() {
  static Server server;
  return server;
}

std::unique_ptr<db::Database> Open(const std::string& url, int pool_size) {
  db::Database::Options options;
  options.url = url;
  options.pool_size = pool_size;
  return std::make_unique<db::Database>(options);
}

}  // namespace

std::string NewEmptyDatabase() {
  return TheServer().NewDatabase("template0");
}

std::string NewMigratedDatabase() {
  return TheServer().NewDatabase("phonepki");
}

PostgresTest::PostgresTest() : PostgresTest(NewMigratedDatabase()) {}

PostgresTest::PostgresTest(std::string url) : url_(std::move(url)), database_(Open(url_, 8)) {}

std::unique_ptr<db::Database> PostgresTest::OpenDatabase(int pool_size) const {
  return Open(url_, pool_size);
}

pqxx::result PostgresTest::Sql(const std::string& sql) const {
  pqxx::connection connection(url_);
  return pqxx::nontransaction(connection).exec(sql);
}

}  // namespace phonepki::testing
