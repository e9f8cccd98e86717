#include <algorithm>
#include <optional>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "ca/x509/network_name.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/location_repository.h"
#include "provisioning/devices/device_service.h"
#include "provisioning/devices/location_name.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = device::v1;

constexpr struct {
  v1::LocationRule::Kind kind;
  const char* name;
} kKinds[] = {{v1::LocationRule::CIDR, "cidr"},
              {v1::LocationRule::E164_PREFIX, "e164_prefix"},
              {v1::LocationRule::DEVICE_TYPE, "device_type"},
              {v1::LocationRule::DEVICE, "device"}};

constexpr char kCollection[] = "locations";

std::string Name(std::int64_t id) {
  return absl::StrCat("locations/", id);
}

v1::Location ToProto(const db::LocationRecord& location, std::int64_t device_count) {
  v1::Location proto;
  proto.set_name(Name(location.id));
  proto.set_display_name(location.display_name);
  proto.set_description(location.description);
  proto.set_priority(location.priority);
  proto.set_is_default(location.is_default);
  proto.set_max_sessions(location.max_sessions);
  proto.set_device_count(device_count);
  proto.set_server_address(location.server.address);
  proto.set_server_port(location.server.port);
  proto.set_server_secure_port(location.server.secure_port);
  for (const db::LocationRuleRecord& rule : location.rules) {
    auto* added = proto.add_rules();
    added->set_value(rule.value);
    for (const auto& known : kKinds) {
      if (rule.kind == known.name) added->set_kind(known.kind);
    }
  }
  return proto;
}

template <typename Repeated>
absl::StatusOr<std::vector<db::LocationRuleRecord>> FromProto(const Repeated& proto) {
  std::vector<db::LocationRuleRecord> rules;
  for (int i = 0; i < proto.size(); ++i) {
    db::LocationRuleRecord rule{"", proto[i].value()};
    for (const auto& known : kKinds) {
      if (proto[i].kind() == known.kind) rule.kind = known.name;
    }
    RETURN_IF_ERROR(
        CheckLocationRule(rule, absl::StrCat("rules[", i, rule.kind.empty() ? "].kind" : "].value")));
    rules.push_back(std::move(rule));
  }
  return rules;
}

// Neither nobody, nor many, nor what has a meaning on one link only.
bool IsCallable(const base::Bytes& octets) {
  if (octets.size() == 4) return octets[0] != 0 && octets[0] < 224;
  const bool link_local = octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80;
  // ::, and IPv4 in the clothes of IPv6: phones are told the address itself.
  const bool embedded =
      std::all_of(octets.begin(), octets.begin() + 10, [](auto octet) { return octet == 0; }) &&
      octets != base::Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return octets[0] != 0xff && !link_local && !embedded;
}

// On success the address is in its canonical form.
absl::Status CheckServer(db::LocationServer& server) {
  const auto wrong = [&](const std::string& why) {
    return base::InvalidField("server_address", "SERVER_ADDRESS",
                              absl::StrCat("\"", server.address.substr(0, 100), "\" ", why));
  };
  if (const std::optional<base::Bytes> octets = ca::ParseIp(server.address)) {
    if (!IsCallable(*octets)) return wrong("is no address that a phone can call");
    server.address = ca::PrintIp(*octets);
  } else if (!server.address.empty()) {
    if (!ca::IsDnsName(server.address)) {
      return wrong("is neither an IP address nor a host name; ports are fields of their own");
    }
    absl::AsciiStrToLower(&server.address);
  }
  const std::pair<const char*, int> ports[] = {{"server_port", server.port},
                                               {"server_secure_port", server.secure_port}};
  for (const auto& [field, port] : ports) {
    if (port < 0 || port > 65535) return base::InvalidField(field, "SERVER_PORT", "must be 0 to 65535");
  }
  if (server.port != 0 && server.address.empty()) {
    return base::InvalidField("server_port", "SERVER_PORT",
                              "goes with server_address: give both, or set the port to 0");
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(const db::LocationRecord& location) {
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(location.display_name));
  RETURN_IF_ERROR(base::rpc::CheckDescription(location.description));
  if (location.priority < 0 || location.priority > 1000) {
    return base::InvalidField("priority", "PRIORITY", "must be 0 to 1000");
  }
  if (location.max_sessions < 0)
    return base::InvalidField("max_sessions", "MAX_SESSIONS", "must not be negative");
  return absl::OkStatus();
}

absl::Status DefaultHasNoRules() {
  return base::InvalidField("rules", "DEFAULT_LOCATION", "the default location takes what no rule takes");
}

absl::StatusOr<std::int64_t> RulesChanged(db::Tx& tx, Placement& placement) {
  RETURN_IF_ERROR(db::BumpLocationRevision(tx));
  return placement.PlaceAll(tx);
}

}  // namespace

absl::StatusOr<std::int64_t> ResolveLocation(db::Tx& tx, const std::string& name, const std::string& field) {
  return base::rpc::ResolveName(
      name, kCollection, field,
      [&](const std::string& display_name) { return db::FindLocationByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetLocation(tx, id); });
}

#define RPC(name)                                                                                    \
  grpc::Status LocationService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                     v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.device.v1.LocationService/" #name,                       \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status {                 \
      return database_.InTransaction(#name, [&](db::Tx& tx) -> absl::Status
#define END_RPC \
  );            \
  });           \
  }

RPC(CreateLocation) {
  db::LocationRecord location;
  location.display_name = request->display_name();
  location.description = request->description();
  if (request->has_priority()) location.priority = request->priority();
  location.max_sessions = request->max_sessions();
  location.server = {request->server_address(), request->server_port(), request->server_secure_port()};
  RETURN_IF_ERROR(CheckLimits(location));
  RETURN_IF_ERROR(CheckServer(location.server));
  ASSIGN_OR_RETURN(location.rules, FromProto(request->rules()));
  RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
  ASSIGN_OR_RETURN(auto earlier, db::FindApiRequest(tx, "CreateLocation", request->request_id()));
  if (earlier) {
    ASSIGN_OR_RETURN(location, db::GetLocation(tx, *earlier));
  } else {
    ASSIGN_OR_RETURN(location.id, db::InsertLocation(tx, location));
    RETURN_IF_ERROR(db::ReplaceLocationRules(tx, location.id, location.rules));
    ASSIGN_OR_RETURN(std::int64_t moved, RulesChanged(tx, placement_));
    response->set_moved_devices(moved);
    RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "location.create", Name(location.id)}}));
    RETURN_IF_ERROR(db::RecordApiRequest(tx, "CreateLocation", request->request_id(), location.id));
  }
  ASSIGN_OR_RETURN(std::int64_t devices, db::CountDevices(tx, location.id));
  *response->mutable_location() = ToProto(location, devices);
  return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
}
END_RPC

RPC(GetLocation) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveLocation(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, id));
  ASSIGN_OR_RETURN(std::int64_t devices, db::CountDevices(tx, id));
  *response->mutable_location() = ToProto(location, devices);
  return absl::OkStatus();
}
END_RPC

RPC(ListLocations) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t after, base::rpc::ReadIdPageToken(kCollection, request->page_token(), 0));
  ASSIGN_OR_RETURN(auto locations, db::ListLocations(tx, after, size));
  for (const db::LocationRecord& location : locations) {
    ASSIGN_OR_RETURN(std::int64_t devices, db::CountDevices(tx, location.id));
    *response->add_locations() = ToProto(location, devices);
  }
  if (static_cast<int>(locations.size()) == size) {
    response->set_next_page_token(base::rpc::MakePageToken(kCollection, locations.back().id));
  }
  return absl::OkStatus();
}
END_RPC

RPC(UpdateLocation) {
  RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
  ASSIGN_OR_RETURN(std::int64_t id, ResolveLocation(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, id));
  if (request->has_display_name()) location.display_name = request->display_name();
  if (request->has_description()) location.description = request->description();
  if (request->has_priority()) location.priority = request->priority();
  if (request->has_max_sessions()) location.max_sessions = request->max_sessions();
  if (request->has_server_address()) location.server.address = request->server_address();
  if (request->has_server_port()) location.server.port = request->server_port();
  if (request->has_server_secure_port()) location.server.secure_port = request->server_secure_port();
  RETURN_IF_ERROR(CheckLimits(location));
  RETURN_IF_ERROR(CheckServer(location.server));
  RETURN_IF_ERROR(db::UpdateLocation(tx, location));
  if (request->has_rules()) {
    if (location.is_default) return DefaultHasNoRules();
    ASSIGN_OR_RETURN(location.rules, FromProto(request->rules().rules()));
    RETURN_IF_ERROR(db::ReplaceLocationRules(tx, id, location.rules));
  }
  if (request->has_rules() || request->has_priority()) {
    ASSIGN_OR_RETURN(std::int64_t moved, RulesChanged(tx, placement_));
    response->set_moved_devices(moved);
  }
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "location.update", Name(id)}}));
  ASSIGN_OR_RETURN(std::int64_t devices, db::CountDevices(tx, id));
  *response->mutable_location() = ToProto(location, devices);
  return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
}
END_RPC

RPC(DeleteLocation) {
  RETURN_IF_ERROR(db::LockPlacementExclusive(tx));
  ASSIGN_OR_RETURN(std::int64_t id, ResolveLocation(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::LocationRecord location, db::GetLocation(tx, id));
  if (location.is_default) {
    return base::WithReason(absl::FailedPreconditionError("the default location cannot be deleted"),
                            "DEFAULT_LOCATION");
  }
  // Without rules it takes nobody; its phones move on before it goes.
  RETURN_IF_ERROR(db::ReplaceLocationRules(tx, id, {}));
  ASSIGN_OR_RETURN(std::int64_t moved, RulesChanged(tx, placement_));
  response->set_moved_devices(moved);
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "location.delete", Name(id)}}));
  absl::Status status = db::DeleteLocation(tx, id);
  if (!absl::IsFailedPrecondition(status)) return status;
  return base::WithReason(absl::FailedPreconditionError("deployments name this location; delete them first"),
                          "LOCATION_IN_USE");
}
END_RPC

RPC(TryLocationRules) {
  if (request->max_moves() < 0)
    return base::InvalidField("max_moves", "MAX_MOVES", "must be 0 (= 100) to 1000");
  const int limit = request->max_moves() == 0 ? 100 : std::min(request->max_moves(), 1000);
  ASSIGN_OR_RETURN(std::vector<db::LocationRecord> locations, db::LoadLocations(tx));
  db::LocationRecord fresh;
  fresh.display_name = "(new location)";
  fresh.id = locations.back().id + 1;
  std::int64_t id = fresh.id;
  if (request->name().empty()) {
    locations.push_back(fresh);
  } else {
    ASSIGN_OR_RETURN(id, ResolveLocation(tx, request->name(), "name"));
  }
  for (db::LocationRecord& location : locations) {
    if (location.id != id) continue;
    if (location.is_default) return DefaultHasNoRules();
    ASSIGN_OR_RETURN(location.rules, FromProto(request->rules()));
    if (request->has_priority()) location.priority = request->priority();
    RETURN_IF_ERROR(CheckLimits(location));
  }
  std::int64_t total = 0, checked = 0;
  ASSIGN_OR_RETURN(std::vector<DeviceMove> moves, placement_.TryAll(tx, locations, limit, &total, &checked));
  const auto name_of = [&](std::int64_t id) -> std::string {
    for (const db::LocationRecord& location : locations) {
      if (location.id == id) return location.display_name;
    }
    return "";
  };
  for (const DeviceMove& move : moves) {
    auto* added = response->add_moves();
    added->set_device(absl::StrCat("devices/", move.mac));
    added->set_from_location(name_of(move.from));
    added->set_to_location(name_of(move.to));
  }
  response->set_total_moves(total);
  response->set_devices_checked(checked);
  return absl::OkStatus();
}
END_RPC

}  // namespace phonepki::provisioning
