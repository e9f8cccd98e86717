#include "base/rpc/rpc.h"

#include <algorithm>

#include <absl/random/random.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mac_address.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "phonepki/common/v1/error.pb.h"

namespace phonepki::base::rpc {
namespace {

Authorizer& InstalledAuthorizer() {
  static auto* authorizer = new Authorizer;
  return *authorizer;
}

std::string ActorOf(const grpc::ServerContext& context) {
  const auto names = context.auth_context()->FindPropertyValues("x509_common_name");
  return names.empty() ? "anonymous" : std::string(names[0].data(), names[0].size());
}

// Of UTF-8 text, as protobuf guarantees it.
std::ptrdiff_t CountCharacters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string NewCorrelationId() {
  thread_local absl::BitGen random;
  return absl::StrFormat("%016x", absl::Uniform<std::uint64_t>(random));
}

}  // namespace

void InstallAuthorizer(Authorizer authorizer) {
  InstalledAuthorizer() = std::move(authorizer);
}

grpc::Status ToGrpcStatus(const absl::Status& status, const char* method) {
  if (status.ok()) return grpc::Status::OK;
  std::string message(status.message());
  common::v1::ErrorDetail detail;
  detail.set_reason(ReasonOf(status));
  detail.set_field(FieldOf(status));
  if (absl::IsInternal(status) || absl::IsUnknown(status)) {
    detail.set_correlation_id(NewCorrelationId());
    LogError("rpc_failed",
             {{"method", method}, {"correlation_id", detail.correlation_id()}, {"error", status}});
    message = absl::StrCat("internal error; the server's log has it under ", detail.correlation_id());
  }
  common::v1::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  details.add_details()->PackFrom(detail);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString());
}

grpc::Status Handle(grpc::ServerContext* context, const char* method,
                    absl::FunctionRef<absl::Status(const Caller&)> handle) {
  const absl::Time start = absl::Now();
  const Caller caller{ActorOf(*context), method};
  absl::Status status = InstalledAuthorizer() ? InstalledAuthorizer()(caller) : absl::OkStatus();
  if (status.ok()) status = handle(caller);
  LogInfo("rpc", {{"method", method},
                  {"actor", caller.actor},
                  {"code", absl::StatusCodeToString(status.code())},
                  {"reason", ReasonOf(status)},
                  {"ms", absl::ToDoubleMilliseconds(absl::Now() - start)}});
  return ToGrpcStatus(status, method);
}

absl::StatusOr<ResourceName> ParseResourceName(const std::string& name, const std::string& collection,
                                               const std::string& field) {
  absl::string_view rest = name;
  const std::string prefix = absl::StrCat(collection, "/");
  if (!absl::ConsumePrefix(&rest, prefix) || rest.empty()) {
    return InvalidField(
        field, "RESOURCE_NAME",
        absl::StrCat("\"", name, "\" must be ", prefix, "{id} or ", prefix, "{display name}"));
  }
  ResourceName parsed;
  if (rest.find_first_not_of("0123456789") != absl::string_view::npos) {
    parsed.display_name = std::string(rest);
  } else if (!absl::SimpleAtoi(rest, &parsed.id) || parsed.id <= 0) {
    return InvalidField(field, "RESOURCE_NAME", absl::StrCat("\"", rest, "\" is no id"));
  }
  return parsed;
}

absl::StatusOr<std::int64_t> ParseId(const std::string& name, const std::string& collection,
                                     const std::string& field) {
  ASSIGN_OR_RETURN(ResourceName parsed, ParseResourceName(name, collection, field));
  if (parsed.id == 0)
    return InvalidField(field, "RESOURCE_NAME", absl::StrCat("must be ", collection, "/{number}"));
  return parsed.id;
}

absl::StatusOr<std::string> ParseDeviceName(const std::string& name, const std::string& field) {
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, "devices/")) {
    return InvalidField(field, "RESOURCE_NAME", "must be devices/{MAC address}");
  }
  return WithField(ParseMac(ToStd(rest)), field);
}

absl::Status CheckDisplayName(const std::string& display_name) {
  constexpr char kField[] = "display_name";
  constexpr char kReason[] = "DISPLAY_NAME";
  if (absl::StripAsciiWhitespace(display_name).empty())
    return InvalidField(kField, kReason, "a name is required");
  if (CountCharacters(display_name) > 100) return InvalidField(kField, kReason, "at most 100 characters");
  if (display_name.find_first_not_of("0123456789") == std::string::npos)
    return InvalidField(kField, kReason, "must not consist of digits only");
  if (display_name.find('/') != std::string::npos)
    return InvalidField(kField, kReason, "must not contain a slash");
  if (std::any_of(display_name.begin(), display_name.end(), absl::ascii_iscntrl))
    return InvalidField(kField, kReason, "must not contain control characters");
  return absl::OkStatus();
}

absl::Status CheckDescription(const std::string& description) {
  if (CountCharacters(description) <= 1000 && description.find('\0') == std::string::npos)
    return absl::OkStatus();
  return InvalidField("description", "DESCRIPTION", "at most 1000 characters, and no NUL");
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) return InvalidField("page_size", "PAGE_SIZE", "must be 0 (= 100) to 1000");
  return requested == 0 ? 100 : std::min(requested, 1000);
}

std::string MakePageToken(const std::string& collection, const std::string& last_key) {
  return absl::WebSafeBase64Escape(absl::StrCat(collection, "/", last_key));
}

std::string MakePageToken(const std::string& collection, std::int64_t last_id) {
  return MakePageToken(collection, absl::StrCat(last_id));
}

absl::StatusOr<std::string> ReadPageToken(const std::string& collection, const std::string& token) {
  if (token.empty()) return std::string();
  std::string text;
  absl::string_view key;
  if (absl::WebSafeBase64Unescape(token, &text)) {
    key = text;
    if (absl::ConsumePrefix(&key, absl::StrCat(collection, "/")) && !key.empty()) return std::string(key);
  }
  return InvalidField("page_token", "PAGE_TOKEN", "pass the next_page_token of the answer before");
}

absl::StatusOr<std::int64_t> ReadIdPageToken(const std::string& collection, const std::string& token,
                                             std::int64_t start) {
  ASSIGN_OR_RETURN(std::string key, ReadPageToken(collection, token));
  std::int64_t id = start;
  if (!key.empty() && (!absl::SimpleAtoi(key, &id) || id <= 0)) {
    return InvalidField("page_token", "PAGE_TOKEN", "pass the next_page_token of the answer before");
  }
  return id;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const std::int64_t micros = absl::ToUnixMicros(time);
  proto.set_seconds(absl::ToUnixSeconds(time));
  proto.set_nanos(static_cast<int>((micros - proto.seconds() * 1000000) * 1000));
  return proto;
}

absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& time, const std::string& field) {
  constexpr std::int64_t kFirst = -62135596800;  // 0001-01-01
  constexpr std::int64_t kLast = 253402300799;   // 9999-12-31T23:59:59Z
  if (time.seconds() < kFirst || time.seconds() > kLast || time.nanos() < 0 || time.nanos() > 999999999) {
    return InvalidField(field, "TIMESTAMP", "must lie in the years 1 to 9999, with nanos below a second");
  }
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace phonepki::base::rpc
