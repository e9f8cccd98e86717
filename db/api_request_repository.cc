#include "db/api_request_repository.h"

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::db {
namespace {

// A client that repeats its call while the first one runs waits for the answer instead of racing it.
constexpr Query kLock{"api_request_lock",
                      "SELECT pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 716002))"};
constexpr Query kFind{"api_request_find",
                      "SELECT resource_id FROM api_request WHERE method = $1 AND request_id = $2"};
constexpr Query kRecord{"api_request_record", R"sql(
  INSERT INTO api_request (method, request_id, resource_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING)sql"};

}  // namespace

absl::StatusOr<std::optional<std::int64_t>> FindApiRequest(Tx& tx, const std::string& method,
                                                           const std::string& request_id) {
  if (request_id.empty()) return std::optional<std::int64_t>();
  if (request_id.size() > 100 || request_id.find('\0') != std::string::npos) {
    return base::InvalidField("request_id", "REQUEST_ID", "at most 100 octets, and no NUL");
  }
  RETURN_IF_ERROR(tx.Execute(kLock, method, request_id).status());
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFind, method, request_id));
  if (rows.empty()) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(rows[0][0].as<std::int64_t>());
}

absl::Status RecordApiRequest(Tx& tx, const std::string& method, const std::string& request_id,
                              std::int64_t resource_id) {
  if (request_id.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(pqxx::result recorded, tx.Execute(kRecord, method, request_id, resource_id));
  if (recorded.affected_rows() == 0) return absl::AbortedError("the request id is in use at this moment");
  return absl::OkStatus();
}

}  // namespace phonepki::db
