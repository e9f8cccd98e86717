#include "base/error.h"

#include <absl/strings/cord.h>
#include <absl/strings/str_cat.h>

namespace phonepki::base {
namespace {

constexpr char kReasonUrl[] = "phonepki/reason";
constexpr char kFieldUrl[] = "phonepki/field";

std::string Payload(const absl::Status& status, const char* url) {
  auto payload = status.GetPayload(url);
  return payload ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status WithReason(absl::Status status, const std::string& reason) {
  status.SetPayload(kReasonUrl, absl::Cord(reason));
  return status;
}

absl::Status WithField(absl::Status status, const std::string& field) {
  status.SetPayload(kFieldUrl, absl::Cord(field));
  return status;
}

absl::Status InvalidField(const std::string& field, const std::string& reason, const std::string& rule) {
  return WithField(WithReason(absl::InvalidArgumentError(absl::StrCat(field, ": ", rule)), reason), field);
}

absl::Status NotFound(const std::string& what) {
  return WithReason(absl::NotFoundError(what), "NOT_FOUND");
}

absl::Status NameTaken(absl::Status status, const std::string& kind, const std::string& display_name) {
  if (!absl::IsAlreadyExists(status)) return status;
  return WithField(
      WithReason(absl::AlreadyExistsError(absl::StrCat(kind, " named \"", display_name, "\" exists already")),
                 "DISPLAY_NAME_TAKEN"),
      "display_name");
}

std::string ReasonOf(const absl::Status& status) {
  return Payload(status, kReasonUrl);
}
std::string FieldOf(const absl::Status& status) {
  return Payload(status, kFieldUrl);
}

}  // namespace phonepki::base
