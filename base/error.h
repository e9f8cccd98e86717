// Errors a person can act on. An absl::Status carries the code and the sentence; the two facts a program
// wants, a stable reason ("CA_EXPIRES_FIRST") and the field at fault ("subject_template"), ride along as
// payload and become google.rpc.ErrorInfo and BadRequest details at the gRPC boundary.
#pragma once

#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace phonepki::base {

// kInvalidArgument: `field` is the API field path, `rule` says what it must satisfy and what to do.
absl::Status InvalidField(const std::string& field, const std::string& reason, const std::string& rule);

// kNotFound, reason NOT_FOUND. Who knows which field named the missing thing adds it.
absl::Status NotFound(const std::string& what);

// kAlreadyExists becomes DISPLAY_NAME_TAKEN on display_name, in words for people; anything else passes.
// `kind` with its article: "a location".
absl::Status NameTaken(absl::Status status, const std::string& kind, const std::string& display_name);

// Adds a stable reason (UPPER_SNAKE_CASE) to a status of any code.
absl::Status WithReason(absl::Status status, const std::string& reason);
absl::Status WithField(absl::Status status, const std::string& field);
template <typename T>
absl::StatusOr<T> WithField(absl::StatusOr<T> result, const std::string& field) {
  return result.ok() ? std::move(result) : absl::StatusOr<T>(WithField(result.status(), field));
}

// Empty when the status carries none.
std::string ReasonOf(const absl::Status& status);
std::string FieldOf(const absl::Status& status);

}  // namespace phonepki::base
