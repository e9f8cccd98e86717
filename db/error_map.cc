#include "db/error_map.h"

#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <pqxx/pqxx>

#include "base/error.h"

namespace phonepki::db {
namespace {

// libpqxx 6 does not hand over the constraint's name; the server's message quotes it last on its first line.
std::string ConstraintOf(const std::string& message) {
  const std::string first_line = message.substr(0, message.find('\n'));
  const auto end = first_line.rfind('"');
  if (end == std::string::npos || end == 0) return "";
  const auto begin = first_line.rfind('"', end - 1);
  return begin == std::string::npos ? "" : first_line.substr(begin + 1, end - begin - 1);
}

absl::Status MapSqlError(const char* what, const pqxx::sql_error& error) {
  const std::string state = error.sqlstate();
  const std::string text = absl::StrCat(what, ": ", absl::StripTrailingAsciiWhitespace(error.what()));
  if (state == "23505") {
    return base::WithReason(absl::AlreadyExistsError(text),
                            absl::StrCat("UNIQUE:", ConstraintOf(error.what())));
  }
  if (state == "23503") {
    return base::WithReason(absl::FailedPreconditionError(text),
                            absl::StrCat("FOREIGN_KEY:", ConstraintOf(error.what())));
  }
  if (state == "23514") {
    return base::WithReason(absl::InvalidArgumentError(text),
                            absl::StrCat("CHECK:", ConstraintOf(error.what())));
  }
  if (state == "40001" || state == "40P01") return absl::AbortedError(text);
  if (state == "57014") return absl::DeadlineExceededError(text);
  if (state.substr(0, 2) == "08" || state.substr(0, 3) == "57P" || state == "53300") {
    return base::WithReason(absl::UnavailableError(text), "DATABASE_UNAVAILABLE");
  }
  return absl::InternalError(text);
}

}  // namespace

absl::Status MapCurrentException(const char* what) {
  // libpq ends its messages with a line break.
  const auto text = [](const std::exception& error) {
    return std::string(absl::StripTrailingAsciiWhitespace(error.what()));
  };
  try {
    throw;
  } catch (const pqxx::in_doubt_error& error) {
    return base::WithReason(absl::UnknownError(absl::StrCat(what, ": ", text(error))), "OUTCOME_UNKNOWN");
  } catch (const pqxx::statement_completion_unknown& error) {
    // Derived from transaction_rollback, which would be retried: must stay in front of it.
    return base::WithReason(absl::UnknownError(absl::StrCat(what, ": ", text(error))), "OUTCOME_UNKNOWN");
  } catch (const pqxx::transaction_rollback& error) {
    return absl::AbortedError(absl::StrCat(what, ": ", text(error)));
  } catch (const pqxx::broken_connection& error) {
    return base::WithReason(
        absl::UnavailableError(absl::StrCat("the database cannot be reached: ", text(error))),
        "DATABASE_UNAVAILABLE");
  } catch (const pqxx::sql_error& error) {
    return MapSqlError(what, error);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", text(error)));
  }
}

}  // namespace phonepki::db
