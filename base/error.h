// Errors a person can act on. An absl::Status carries the code and the sentence; the two facts a program
// wants, a stable reason ("CA_EXPIRES_FIRST") and the field at fault ("subject_template"), ride along as
// payload and become google.rpc.ErrorInfo and BadRequest details at the gRPC boundary.
#pragma once

#include <string>

#include <absl/status/status.h>

namespace phonepki::base {

// kInvalidArgument: `field` is the API field path, `rule` says what it must satisfy and what to do.
absl::Status InvalidField(const std::string& field, const std::string& reason, const std::string& rule);

// Adds a stable reason (UPPER_SNAKE_CASE) to a status of any code.
absl::Status WithReason(absl::Status status, const std::string& reason);
absl::Status WithField(absl::Status status, const std::string& field);

// Empty when the status carries none.
std::string ReasonOf(const absl::Status& status);
std::string FieldOf(const absl::Status& status);

}  // namespace phonepki::base
