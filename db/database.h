// PostgreSQL: a connection pool, transactions as functions, and the conversions that statements need.
//
//   RETURN_IF_ERROR(database.InTransaction("device_contact", [&](Tx& tx) -> absl::Status { … }));
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <pqxx/pqxx>

#include "base/bytes.h"
#include "db/query.h"

namespace phonepki::db {

namespace param {

std::string ArrayLiteral(const std::vector<std::string>& values);
std::string ArrayLiteral(const std::vector<std::int64_t>& values);
std::string ArrayLiteral(const std::vector<base::Bytes>& values);
std::string TimeLiteral(absl::Time time);

inline const std::string& Convert(const std::string& value) {
  return value;
}
inline std::string Convert(const char* value) {
  return value;
}
inline pqxx::binarystring Convert(const base::Bytes& value) {
  return {value.data(), value.size()};
}
inline std::string Convert(absl::Time value) {
  return TimeLiteral(value);
}
template <typename T>
requires std::is_arithmetic_v<T> T Convert(T value) {
  return value;
}
template <typename T>
std::string Convert(const std::vector<T>& values) {
  return ArrayLiteral(values);
}
template <typename T>
std::optional<T> Convert(const std::optional<T>& value) {
  return value;
}

}  // namespace param

base::Bytes ToBytes(const pqxx::field& field);
std::vector<base::Bytes> ToBytesArray(const pqxx::field& field);
// Times are selected as to_usec(column).
absl::Time ToTime(const pqxx::field& field);
std::optional<absl::Time> ToOptionalTime(const pqxx::field& field);

struct PooledConnection;

// One transaction on one pooled connection. Aborted unless InTransaction commits it. Not thread-safe.
class Tx {
 public:
  Tx(PooledConnection& connection, pqxx::work& work);

  // Runs a named statement with $1, $2, …; see db/error_map.h for the errors.
  template <typename... A>
  absl::StatusOr<pqxx::result> Execute(const Query& query, const A&... args) {
    return Guard(query, [&] { return work_.exec_prepared(query.name, param::Convert(args)...); });
  }
  // The same, planned anew for these very values: for statements over sets of rows whose best plan depends on
  // how many there are.
  template <typename... A>
  absl::StatusOr<pqxx::result> ExecutePlanned(const Query& query, const A&... args) {
    return GuardPlanned(query, [&] { return work_.exec_params(query.sql, param::Convert(args)...); });
  }
  // Several statements without parameters: migrations and tests only.
  absl::StatusOr<pqxx::result> ExecuteScript(const std::string& sql);

  // The first error of a statement. PostgreSQL turns the COMMIT after it into a ROLLBACK without a word.
  const absl::Status& failure() const { return failure_; }

 private:
  absl::Status Failed(const char* what);
  absl::StatusOr<pqxx::result> Guard(const Query& query, absl::FunctionRef<pqxx::result()> run);
  absl::StatusOr<pqxx::result> GuardPlanned(const Query& query, absl::FunctionRef<pqxx::result()> run);

  PooledConnection& connection_;
  pqxx::work& work_;
  absl::Status failure_;
};

// What a function returns to InTransaction when all that it did was a rehearsal (validate_only): it is rolled
// back, and InTransaction returns OK.
absl::Status DryRunEnd();

class Database {
 public:
  struct Options {
    std::string url;  // libpq connection string or URI
    int pool_size = 16;
    absl::Duration acquire_timeout = absl::Seconds(10);
    absl::Duration statement_timeout = absl::Seconds(60);
    std::string application_name = "phonepki";
  };

  // Does not connect yet.
  explicit Database(Options options);
  ~Database();

  // Commits when `fn` returns OK and no statement failed. Starts over (a few times, jittered) only on
  // kAborted and on connections found broken before their first statement. kUnknown: the outcome of the
  // commit is not known; never retried. kUnavailable, reason DATABASE_UNAVAILABLE: no connection. `name`
  // labels the transaction in logs.
  absl::Status InTransaction(const char* name, absl::FunctionRef<absl::Status(Tx&)> fn);

  template <typename F>
  auto InTransactionReturning(const char* name, F fn) -> std::invoke_result_t<F, Tx&> {
    std::optional<typename std::invoke_result_t<F, Tx&>::value_type> value;
    absl::Status status = InTransaction(name, [&](Tx& tx) -> absl::Status {
      auto result = fn(tx);
      if (!result.ok()) return result.status();
      value = std::move(result).value();
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return std::move(*value);
  }

  absl::Status Ping();

 private:
  absl::StatusOr<std::unique_ptr<PooledConnection>> Acquire();
  void Release(std::unique_ptr<PooledConnection> connection);
  void DiscardIdle();
  absl::Status RunOnce(const char* name, absl::FunctionRef<absl::Status(Tx&)> fn, bool* never_started);

  const Options options_;
  absl::Mutex mutex_;
  std::deque<std::unique_ptr<PooledConnection>> idle_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace phonepki::db
