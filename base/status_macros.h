// RETURN_IF_ERROR(expr) and ASSIGN_OR_RETURN(lhs, expr): early return for absl::Status and absl::StatusOr.
// Debian's Abseil (20220623) does not ship them.
#pragma once

#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#define PHONEPKI_CONCAT_INNER(a, b) a##b
#define PHONEPKI_CONCAT(a, b) PHONEPKI_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                           \
  do {                                                                  \
    if (absl::Status phonepki_status = (expr); !phonepki_status.ok()) { \
      return phonepki_status;                                           \
    }                                                                   \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_INNER(PHONEPKI_CONCAT(phonepki_statusor_, __LINE__), lhs, expr)

#define ASSIGN_OR_RETURN_INNER(result, lhs, expr)      \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = std::move(result).value()
