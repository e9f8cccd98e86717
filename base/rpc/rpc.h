// The one wrapper around every RPC: who calls, may they, what came out. Turns absl::Status into grpc::Status
// with an ErrorDetail (reason, field) in the details. kInternal and kUnknown texts go to the log under a
// correlation id.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/timestamp.pb.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "base/error.h"

namespace phonepki::base::rpc {

struct Caller {
  std::string actor;   // common name of the client certificate
  std::string method;  // "/phonepki.ca.v1.InternalCaService/GetInternalCa"
};

// Decides every call; installed once at start. Without one, whoever passed the door's TLS may do everything.
using Authorizer = std::function<absl::Status(const Caller&)>;
void InstallAuthorizer(Authorizer authorizer);

// Runs `handle` for an authorised caller. `method` is a constant.
grpc::Status Handle(grpc::ServerContext* context, const char* method,
                    absl::FunctionRef<absl::Status(const Caller&)> handle);

grpc::Status ToGrpcStatus(const absl::Status& status, const char* method);

// "internalCas/7" or "internalCas/My CA": an id, or a display name (never only digits).
struct ResourceName {
  std::int64_t id = 0;  // 0: look up by display name
  std::string display_name;
};
// kInvalidArgument RESOURCE_NAME. `collection` without slash; `field` for the message.
absl::StatusOr<ResourceName> ParseResourceName(const std::string& name, const std::string& collection,
                                               const std::string& field);
// The id of the thing that `name` names. `find` looks a display name up; `get` fails for an id that does not
// exist. Every error names `field`.
template <typename Find, typename Get>
absl::StatusOr<std::int64_t> ResolveName(const std::string& name, const std::string& collection,
                                         const std::string& field, Find find, Get get) {
  absl::StatusOr<ResourceName> parsed = ParseResourceName(name, collection, field);
  if (!parsed.ok()) return parsed.status();
  if (parsed->id == 0) return WithField(absl::StatusOr<std::int64_t>(find(parsed->display_name)), field);
  absl::Status known = get(parsed->id).status();
  if (!known.ok()) return WithField(known, field);
  return parsed->id;
}
// For collections without display names: "jobs/7". kInvalidArgument RESOURCE_NAME.
absl::StatusOr<std::int64_t> ParseId(const std::string& name, const std::string& collection,
                                     const std::string& field);
// "devices/00:1A:E8:00:00:01" to its MAC address. kInvalidArgument RESOURCE_NAME, MAC.
absl::StatusOr<std::string> ParseDeviceName(const std::string& name, const std::string& field);

// kInvalidArgument DISPLAY_NAME: empty, longer than 100 characters, only digits, with a slash or a control
// character.
absl::Status CheckDisplayName(const std::string& display_name);
// kInvalidArgument DESCRIPTION: longer than 1000 characters.
absl::Status CheckDescription(const std::string& description);

// Default 100, at most 1000. kInvalidArgument PAGE_SIZE when negative.
absl::StatusOr<int> PageSize(int requested);
// Opaque: base64 of the collection and the last key of the page before. Empty = from the start.
// kInvalidArgument PAGE_TOKEN: not ours, or another collection's.
std::string MakePageToken(const std::string& collection, const std::string& last_key);
std::string MakePageToken(const std::string& collection, std::int64_t last_id);
absl::StatusOr<std::string> ReadPageToken(const std::string& collection, const std::string& token);
absl::StatusOr<std::int64_t> ReadIdPageToken(const std::string& collection, const std::string& token,
                                             std::int64_t start);

google::protobuf::Timestamp ToProto(absl::Time time);
// kInvalidArgument TIMESTAMP: outside the years 1 to 9999.
absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& time, const std::string& field);

}  // namespace phonepki::base::rpc
