// What a database failure means to a caller.
//   unique violation        kAlreadyExists       reason UNIQUE:<constraint>
//   foreign key violation   kFailedPrecondition  reason FOREIGN_KEY:<constraint>
//   check violation         kInvalidArgument     reason CHECK:<constraint>
//   serialization, deadlock kAborted             try again
//   statement time-out      kDeadlineExceeded
//   connection lost         kUnavailable         reason DATABASE_UNAVAILABLE
//   outcome not known       kUnknown             reason OUTCOME_UNKNOWN, never retried
//   anything else           kInternal
#pragma once

#include <exception>

#include <absl/status/status.h>

namespace phonepki::db {

// Call inside a catch block with the current exception. `what` names the statement or transaction.
absl::Status MapCurrentException(const char* what);

}  // namespace phonepki::db
