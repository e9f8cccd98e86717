#include "base/error.h"

#include <gtest/gtest.h>

#include "base/status_macros.h"

namespace phonepki::base {
namespace {

TEST(ErrorTest, AnInvalidFieldNamesFieldReasonAndRule) {
  const absl::Status status = InvalidField("subject_template", "TEMPLATE_WITHOUT_CN", "needs a CN");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "subject_template: needs a CN");
  EXPECT_EQ(ReasonOf(status), "TEMPLATE_WITHOUT_CN");
  EXPECT_EQ(FieldOf(status), "subject_template");
}

TEST(ErrorTest, APlainStatusHasNeither) {
  for (const absl::Status& status : {absl::OkStatus(), absl::NotFoundError("x")}) {
    EXPECT_EQ(ReasonOf(status), "");
    EXPECT_EQ(FieldOf(status), "");
  }
}

TEST(ErrorTest, ALaterReasonReplacesTheFormerAndKeepsTheField) {
  const absl::Status status = WithReason(InvalidField("a.b", "FIRST", "x"), "SECOND");
  EXPECT_EQ(ReasonOf(status), "SECOND");
  EXPECT_EQ(FieldOf(status), "a.b");
}

TEST(ErrorTest, SuccessCarriesNoReason) {
  EXPECT_EQ(WithReason(absl::OkStatus(), "X"), absl::OkStatus());
  EXPECT_EQ(ReasonOf(WithReason(absl::OkStatus(), "X")), "");
}

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return InvalidField("number", "ODD", "must be even");
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(ErrorTest, TheMacrosPassTheFirstErrorOnWithItsReason) {
  EXPECT_EQ(Quarter(8).value_or(-1), 2);
  EXPECT_EQ(ReasonOf(Quarter(3).status()), "ODD");
  EXPECT_EQ(FieldOf(Quarter(6).status()), "number");
}

}  // namespace
}  // namespace phonepki::base
