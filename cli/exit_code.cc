#include "cli/exit_code.h"

#include <vector>

#include <absl/strings/cord.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "cli/terminal_text.h"
#include "phonepki/common/v1/error.pb.h"

namespace phonepki::cli {
namespace {

constexpr char kCorrelationUrl[] = "phonepki/correlation_id";

std::string CorrelationIdOf(const absl::Status& status) {
  auto payload = status.GetPayload(kCorrelationUrl);
  return payload ? std::string(*payload) : std::string();
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return kExitPrecondition;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitPermission;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return kExitUnavailable;
    default:
      return kExitInternal;
  }
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  common::v1::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& any : details.details()) {
    common::v1::ErrorDetail detail;
    if (!any.UnpackTo(&detail)) continue;
    if (!detail.reason().empty()) result = base::WithReason(std::move(result), detail.reason());
    if (!detail.field().empty()) result = base::WithField(std::move(result), detail.field());
    if (!detail.correlation_id().empty()) {
      result.SetPayload(kCorrelationUrl, absl::Cord(detail.correlation_id()));
    }
  }
  return result;
}

void PrintError(Environment& environment, const absl::Status& status) {
  const bool color = environment.err_is_terminal && !environment.variable("NO_COLOR");
  const std::string message =
      status.message().empty() ? absl::StatusCodeToString(status.code()) : std::string(status.message());
  environment.err << Paint("error:", Color::kRed, color) << ' ' << Printable(message) << '\n';
  std::vector<std::string> facts;
  if (std::string field = base::FieldOf(status); !field.empty())
    facts.push_back(absl::StrCat("field: ", field));
  if (std::string reason = base::ReasonOf(status); !reason.empty()) {
    facts.push_back(absl::StrCat("reason: ", reason));
  }
  if (std::string id = CorrelationIdOf(status); !id.empty()) {
    facts.push_back(absl::StrCat("correlation id: ", id, " (see the server's log)"));
  }
  if (!facts.empty()) environment.err << "  " << Printable(absl::StrJoin(facts, ", ")) << '\n';
  environment.err.flush();
}

}  // namespace phonepki::cli
