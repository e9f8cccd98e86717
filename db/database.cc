#include "db/database.h"

#include <algorithm>

#include <absl/random/random.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "db/error_map.h"

namespace phonepki::db {
namespace {

constexpr char kDryRun[] = "DRY_RUN";

}  // namespace

struct PooledConnection {
  explicit PooledConnection(const std::string& url) : connection(url) {}
  pqxx::connection connection;
  std::set<std::string> prepared;
  bool broken = false;
  bool executed = false;  // in the current transaction
};

namespace param {

std::string ArrayLiteral(const std::vector<std::string>& values) {
  std::string literal = "{";
  for (const std::string& value : values) {
    if (literal.size() > 1) literal += ',';
    literal += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + '}';
}

std::string ArrayLiteral(const std::vector<std::int64_t>& values) {
  return absl::StrCat("{", absl::StrJoin(values, ","), "}");
}

std::string ArrayLiteral(const std::vector<base::Bytes>& values) {
  std::string literal = "{";
  for (const base::Bytes& value : values) {
    if (literal.size() > 1) literal += ',';
    absl::StrAppend(
        &literal, "\"\\\\x",
        absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(value.data()), value.size())),
        "\"");
  }
  return literal + '}';
}

std::string TimeLiteral(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6S+00", time, absl::UTCTimeZone());
}

}  // namespace param

base::Bytes ToBytes(const pqxx::field& field) {
  if (field.is_null()) return {};
  const pqxx::binarystring octets(field);
  return base::Bytes(octets.data(), octets.data() + octets.size());
}

std::vector<base::Bytes> ToBytesArray(const pqxx::field& field) {
  std::vector<base::Bytes> values;
  if (field.is_null()) return values;
  auto parser = field.as_array();
  for (auto item = parser.get_next(); item.first != pqxx::array_parser::done; item = parser.get_next()) {
    if (item.first != pqxx::array_parser::string_value) continue;
    const std::string octets = absl::HexStringToBytes(item.second.substr(2));  // "\x…"
    values.emplace_back(octets.begin(), octets.end());
  }
  return values;
}

absl::Time ToTime(const pqxx::field& field) {
  return field.is_null() ? absl::InfinitePast() : absl::FromUnixMicros(field.as<std::int64_t>());
}

std::optional<absl::Time> ToOptionalTime(const pqxx::field& field) {
  if (field.is_null()) return std::nullopt;
  return ToTime(field);
}

Tx::Tx(PooledConnection& connection, pqxx::work& work) : connection_(connection), work_(work) {}

// Inside a catch block.
absl::Status Tx::Failed(const char* what) {
  absl::Status status = MapCurrentException(what);
  if (absl::IsUnavailable(status)) connection_.broken = true;
  failure_.Update(status);
  return status;
}

absl::StatusOr<pqxx::result> Tx::Guard(const Query& query, absl::FunctionRef<pqxx::result()> run) {
  return GuardPlanned(query, [&] {
    if (connection_.prepared.insert(query.name).second) connection_.connection.prepare(query.name, query.sql);
    return run();
  });
}

absl::StatusOr<pqxx::result> Tx::GuardPlanned(const Query& query, absl::FunctionRef<pqxx::result()> run) {
  try {
    pqxx::result result = run();
    connection_.executed = true;
    return result;
  } catch (const std::exception&) {
    return Failed(query.name);
  }
}

absl::StatusOr<pqxx::result> Tx::ExecuteScript(const std::string& sql) {
  try {
    connection_.executed = true;
    return work_.exec(sql);
  } catch (const std::exception&) {
    return Failed("script");
  }
}

Database::Database(Options options) : options_(std::move(options)) {}
Database::~Database() = default;

absl::StatusOr<std::unique_ptr<PooledConnection>> Database::Acquire() {
  {
    absl::MutexLock lock(&mutex_);
    const auto available = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !idle_.empty() || open_ < options_.pool_size;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&available), options_.acquire_timeout)) {
      return base::WithReason(absl::UnavailableError("all database connections are in use; try again"),
                              "DATABASE_BUSY");
    }
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    ++open_;
  }
  try {
    auto connection = std::make_unique<PooledConnection>(options_.url);
    pqxx::nontransaction session(connection->connection);
    session.exec(
        absl::StrCat("SET application_name = ", session.quote(options_.application_name),
                     "; SET statement_timeout = ", absl::ToInt64Milliseconds(options_.statement_timeout),
                     "; SET timezone = 'UTC'; SET client_min_messages = warning"));
    session.commit();
    return connection;
  } catch (const std::exception&) {
    absl::MutexLock lock(&mutex_);
    --open_;
    return MapCurrentException("connect");
  }
}

void Database::Release(std::unique_ptr<PooledConnection> connection) {
  std::unique_ptr<PooledConnection> discarded;  // closed outside the lock
  absl::MutexLock lock(&mutex_);
  if (connection->broken || !connection->connection.is_open()) {
    --open_;
    discarded = std::move(connection);
    return;
  }
  idle_.push_back(std::move(connection));
}

void Database::DiscardIdle() {
  std::deque<std::unique_ptr<PooledConnection>> discarded;  // closed outside the lock
  absl::MutexLock lock(&mutex_);
  open_ -= static_cast<int>(idle_.size());
  discarded.swap(idle_);
}

absl::Status Database::RunOnce(const char* name, absl::FunctionRef<absl::Status(Tx&)> fn,
                               bool* never_started) {
  ASSIGN_OR_RETURN(std::unique_ptr<PooledConnection> connection, Acquire());
  connection->executed = false;
  absl::Status status;
  try {
    pqxx::work work(connection->connection);
    Tx tx(*connection, work);
    status = fn(tx);
    status.Update(tx.failure());
    if (status.ok()) work.commit();
  } catch (const std::exception&) {
    status = MapCurrentException(name);
    connection->broken = true;
  }
  // Where one connection is dead the others are, too: after a restart of the server all of them.
  if (connection->broken && absl::IsUnavailable(status)) DiscardIdle();
  *never_started = connection->broken && !connection->executed;
  Release(std::move(connection));
  return status;
}

absl::Status Database::InTransaction(const char* name, absl::FunctionRef<absl::Status(Tx&)> fn) {
  constexpr int kAttempts = 6;
  absl::BitGen random;
  for (int attempt = 1;; ++attempt) {
    bool never_started = false;
    absl::Status status = RunOnce(name, fn, &never_started);
    if (base::ReasonOf(status) == kDryRun) return absl::OkStatus();
    const bool again = absl::IsAborted(status) && base::ReasonOf(status).empty();
    if (status.ok() || attempt == kAttempts || !(again || never_started)) return status;
    absl::SleepFor(absl::Milliseconds(absl::Uniform(random, 1, 10 * attempt)));
  }
}

absl::Status DryRunEnd() {
  return base::WithReason(absl::CancelledError("rolled back, as it was to be validated only"), kDryRun);
}

absl::Status Database::Ping() {
  static constexpr Query kPing{"ping", "SELECT 1"};
  return InTransaction("ping", [](Tx& tx) { return tx.Execute(kPing).status(); });
}

}  // namespace phonepki::db
