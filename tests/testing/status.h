// Assertions about absl::Status and absl::StatusOr.
#pragma once

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace phonepki::testing {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename T>
::testing::AssertionResult IsOk(const T& result) {
  if (result.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << StatusOf(result);
}

template <typename T>
::testing::AssertionResult HasCode(const T& result, absl::StatusCode code) {
  if (StatusOf(result).code() == code) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << StatusOf(result) << ", expected " << absl::StatusCodeToString(code);
}

template <typename T>
::testing::AssertionResult HasReason(const T& result, const std::string& reason) {
  if (!result.ok() && base::ReasonOf(StatusOf(result)) == reason) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << StatusOf(result) << ", expected the reason " << reason;
}

template <typename T>
::testing::AssertionResult IsRefused(const T& result, const std::string& reason, const std::string& field) {
  if (!result.ok() && base::FieldOf(StatusOf(result)) == field) return HasReason(result, reason);
  return ::testing::AssertionFailure()
         << StatusOf(result) << ", expected " << reason << " on the field " << field;
}

}  // namespace phonepki::testing

#define ASSERT_OK(expression) ASSERT_TRUE(phonepki::testing::IsOk(expression))
#define EXPECT_OK(expression) EXPECT_TRUE(phonepki::testing::IsOk(expression))
#define EXPECT_CODE(expression, code) \
  EXPECT_TRUE(phonepki::testing::HasCode(expression, absl::StatusCode::code))
#define EXPECT_REASON(expression, reason) EXPECT_TRUE(phonepki::testing::HasReason(expression, reason))
#define EXPECT_REFUSED(expression, reason, field) \
  EXPECT_TRUE(phonepki::testing::IsRefused(expression, reason, field))
