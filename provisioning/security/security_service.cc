#include "provisioning/security/security_service.h"

#include <limits>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/error.h"
#include "base/mac_address.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "ca/internal_ca_service.h"
#include "ca/x509/certificate.h"
#include "db/device_repository.h"
#include "provisioning/devices/location_name.h"
#include "provisioning/pki/pki_service.h"
#include "provisioning/security/secure_mode_exit.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = security::v1;

constexpr char kCredentials[] = "secureCredentials";
constexpr std::int64_t kNewest = std::numeric_limits<std::int64_t>::max();

struct NamedState {
  v1::SecurityState proto;
  const char* name;
};
constexpr NamedState kStates[] = {
    {v1::DEFAULT, db::security_state::kDefault},
    {v1::ENROLLING, db::security_state::kEnrolling},
    {v1::AWAITING_PIN, db::security_state::kAwaitingPin},
    {v1::PIN_EXHAUSTED, db::security_state::kPinExhausted},
    {v1::SECURE, db::security_state::kSecure},
    {v1::DESYNCHRONISED, db::security_state::kDesynchronised},
};

v1::SecurityState ToProto(const std::string& state) {
  for (const auto& [proto, name] : kStates) {
    if (state == name) return proto;
  }
  return v1::SECURITY_STATE_UNSPECIFIED;
}

absl::StatusOr<std::string> FromProto(v1::SecurityState state) {
  if (state == v1::SECURITY_STATE_UNSPECIFIED) return std::string();
  for (const auto& [proto, name] : kStates) {
    if (proto == state && state != v1::DEFAULT) return std::string(name);
  }
  return base::InvalidField(
      "state", "SECURITY_STATE",
      "must be ENROLLING, AWAITING_PIN, PIN_EXHAUSTED, SECURE or DESYNCHRONISED, or absent "
      "for all of them");
}

v1::SecureCredential ToProto(const db::SecureCredentialRecord& credential) {
  v1::SecureCredential proto;
  if (credential.id != 0) {
    proto.set_name(absl::StrCat(kCredentials, "/", credential.id));
    *proto.mutable_create_time() = base::rpc::ToProto(credential.created_at);
  }
  proto.set_kind(credential.kind == db::credential_kind::kServer ? v1::SecureCredential::SERVER
                                                                 : v1::SecureCredential::CLIENT);
  proto.set_connector(absl::StrCat("connectors/", credential.connector_id));
  proto.set_connector_display_name(credential.connector_display_name);
  proto.set_active(credential.active);
  if (!credential.certificate.empty()) {
    *proto.mutable_certificate() = ca::SummarizeCertificate(credential.certificate, true);
    if (auto info = ca::ParseCertificate(credential.certificate); info.ok()) {
      for (const std::string& name : info->names.dns) proto.add_dns_names(name);
      for (const std::string& address : info->names.ip) proto.add_ip_addresses(address);
    }
  }
  if (!credential.chain.empty()) {
    *proto.mutable_issuing_ca() = ca::SummarizeCertificate(credential.chain.front(), true);
    *proto.mutable_root() = ca::SummarizeCertificate(credential.chain.back(), true);
  }
  return proto;
}

absl::StatusOr<std::string> KindFromProto(v1::SecureCredential::Kind kind, bool optional) {
  if (kind == v1::SecureCredential::SERVER) return std::string(db::credential_kind::kServer);
  if (kind == v1::SecureCredential::CLIENT) return std::string(db::credential_kind::kClient);
  if (kind == v1::SecureCredential::KIND_UNSPECIFIED && optional) return std::string();
  return base::InvalidField("kind", "CREDENTIAL_KIND", "must be SERVER or CLIENT");
}

template <typename Request>
absl::StatusOr<std::set<std::string>> DevicesOf(const Request& request) {
  if (request.devices().empty()) {
    return base::InvalidField("devices", "DEVICES_EMPTY", "name at least one device");
  }
  if (request.devices_size() > kMaxLeavingDevices) {
    return base::InvalidField("devices", "TOO_MANY_DEVICES",
                              absl::StrCat("at most ", kMaxLeavingDevices, " at a time"));
  }
  std::set<std::string> macs;
  for (const std::string& name : request.devices()) {
    ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(name, "devices"));
    macs.insert(std::move(mac));
  }
  return macs;
}

template <typename Response>
void Fill(const LeftDevices& left, Response* response) {
  response->set_devices(left.devices);
  response->set_revoked_certificates(left.revoked_certificates);
  response->set_cancelled_jobs(left.cancelled_jobs);
}

void Fill(const ShownPin& shown, v1::SecurityPin* proto) {
  proto->set_pin(std::string(shown.pin.view()));
  if (shown.expires_at) *proto->mutable_expire_time() = base::rpc::ToProto(*shown.expires_at);
}

// Ids go down from page to page; each list has a token of its own.
template <typename Records>
std::string NextToken(const std::string& list, const Records& records, int size) {
  return static_cast<int>(records.size()) < size ? "" : base::rpc::MakePageToken(list, records.back().id);
}

}  // namespace

#define RPC(name)                                                                                    \
  grpc::Status SecurityService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                     v1::name##Response* response) {                                 \
    return base::rpc::Handle(                                                                        \
        context, "/phonepki.security.v1.SecurityService/" #name,                                     \
        [&]([[maybe_unused]] const Caller& caller) -> absl::Status
#define END_RPC \
  );            \
  }

RPC(CreateCredential) {
  CredentialCreation creation;
  ASSIGN_OR_RETURN(creation.kind, KindFromProto(request->kind(), false));
  ASSIGN_OR_RETURN(creation.connector_id,
                   database_.InTransactionReturning("secure_credential_connector", [&](db::Tx& tx) {
                     return ResolveConnector(tx, request->connector(), "connector");
                   }));
  creation.server_names = {request->server_names().begin(), request->server_names().end()};
  creation.validate_only = request->validate_only();
  creation.request_id = request->request_id();
  ASSIGN_OR_RETURN(db::SecureCredentialRecord credential, credentials_.Create(creation, caller.actor));
  *response->mutable_credential() = ToProto(credential);
  return absl::OkStatus();
}
END_RPC

RPC(ListCredentials) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t before,
                   base::rpc::ReadIdPageToken(kCredentials, request->page_token(), kNewest));
  ASSIGN_OR_RETURN(std::string kind, KindFromProto(request->kind(), true));
  return database_.InTransaction("secure_credential_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto credentials, db::ListSecureCredentials(tx, kind, before, size));
    for (const auto& credential : credentials) *response->add_credentials() = ToProto(credential);
    response->set_next_page_token(NextToken(kCredentials, credentials, size));
    return absl::OkStatus();
  });
}
END_RPC

RPC(ActivateCredential) {
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCredentials, "name"));
  ASSIGN_OR_RETURN(db::SecureCredentialRecord credential,
                   credentials_.Activate(id, request->force(), caller.actor));
  *response->mutable_credential() = ToProto(credential);
  return absl::OkStatus();
}
END_RPC

RPC(DeleteCredential) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCredentials, "name"));
  return credentials_.Delete(id, request->force(), caller.actor);
}
END_RPC

RPC(GetPinPolicy) {
  static_cast<void>(request);
  const PinOptions& options = pins_.options();
  response->set_min_length(options.policy.min_length);
  response->set_max_length(options.policy.max_length);
  response->set_generated_length(options.policy.generated_length);
  response->set_alphabet(PrintPinAlphabet(options.policy.alphabet));
  response->set_lifetime_seconds(absl::ToInt64Seconds(options.lifetime));
  return absl::OkStatus();
}
END_RPC

RPC(ViewDefaultPin) {
  static_cast<void>(request);
  ASSIGN_OR_RETURN(ShownPin shown, pins_.ViewDefault(caller.actor));
  Fill(shown, response->mutable_pin());
  return absl::OkStatus();
}
END_RPC

RPC(RotateDefaultPin) {
  ASSIGN_OR_RETURN(ShownPin shown, pins_.RotateDefault(base::Secret(request->pin()), caller.actor));
  Fill(shown, response->mutable_pin());
  return absl::OkStatus();
}
END_RPC

RPC(ViewDevicePin) {
  ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->device(), "device"));
  ASSIGN_OR_RETURN(ShownPin shown, pins_.ViewDevice(mac, caller.actor));
  Fill(shown, response->mutable_pin());
  return absl::OkStatus();
}
END_RPC

RPC(RegenerateDevicePin) {
  ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->device(), "device"));
  ASSIGN_OR_RETURN(ShownPin shown, pins_.RegenerateDevice(mac, base::Secret(request->pin()), caller.actor));
  Fill(shown, response->mutable_pin());
  return absl::OkStatus();
}
END_RPC

RPC(PrintPins) {
  ASSIGN_OR_RETURN(std::int64_t location,
                   database_.InTransactionReturning("pin_print_location", [&](db::Tx& tx) {
                     return ResolveLocation(tx, request->location(), "location");
                   }));
  ASSIGN_OR_RETURN(PrintedPins printed, pins_.Print(location, clock_.Now(), caller.actor));
  response->set_html(std::string(printed.html.view()));
  response->set_printed(printed.printed);
  response->set_already_viewed(printed.already_viewed);
  return absl::OkStatus();
}
END_RPC

RPC(ListSecurityStates) {
  constexpr char kList[] = "securityStates";
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t before, base::rpc::ReadIdPageToken(kList, request->page_token(), kNewest));
  ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->device(), "device"));
  return database_.InTransaction("security_state_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "device"));
    ASSIGN_OR_RETURN(auto events, db::ListSecurityStateEvents(tx, device.id, before, size));
    for (const db::SecurityStateEventRecord& event : events) {
      auto* proto = response->add_events();
      *proto->mutable_time() = base::rpc::ToProto(event.at);
      proto->set_state(ToProto(event.state));
      proto->set_text(event.text);
    }
    response->set_next_page_token(NextToken(kList, events, size));
    return absl::OkStatus();
  });
}
END_RPC

RPC(ListSecurityEvents) {
  constexpr char kList[] = "securityEvents";
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t before, base::rpc::ReadIdPageToken(kList, request->page_token(), kNewest));
  std::string mac;
  if (!request->device().empty()) {
    ASSIGN_OR_RETURN(mac, base::rpc::ParseDeviceName(request->device(), "device"));
  }
  return database_.InTransaction("security_event_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto events, db::ListSecurityEvents(tx, mac, before, size));
    for (const db::SecurityEventRecord& event : events) {
      auto* proto = response->add_events();
      *proto->mutable_time() = base::rpc::ToProto(event.at);
      proto->set_kind(event.kind);
      proto->set_door(event.door);
      proto->set_address(event.address);
      proto->set_mac(event.mac);
      proto->set_detail(event.detail);
    }
    response->set_next_page_token(NextToken(kList, events, size));
    return absl::OkStatus();
  });
}
END_RPC

RPC(ListSecureDevices) {
  constexpr char kList[] = "secureDevices";
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::string state, FromProto(request->state()));
  ASSIGN_OR_RETURN(std::string after, base::rpc::ReadPageToken(kList, request->page_token()));
  const std::pair<std::string, std::string> position = absl::StrSplit(after, absl::MaxSplits('/', 1));
  if (!after.empty() && !base::ParseMac(position.second).ok()) {
    return base::InvalidField("page_token", "PAGE_TOKEN", "pass the next_page_token of the answer before");
  }
  return database_.InTransaction("secure_device_list", [&](db::Tx& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto devices, db::ListSecureDevices(tx, state, position.first, position.second, size));
    for (const db::SecureDeviceRecord& device : devices) {
      auto* proto = response->add_devices();
      proto->set_device(absl::StrCat("devices/", device.mac));
      proto->set_location(absl::StrCat("locations/", device.location_id));
      proto->set_location_display_name(device.location_display_name);
      proto->set_e164(device.e164);
      proto->set_state(ToProto(device.state));
      if (device.changed_at) *proto->mutable_change_time() = base::rpc::ToProto(*device.changed_at);
      proto->set_text(device.last_text);
      proto->set_tan_failures(device.tan_failures);
      if (device.last_contact_at)
        *proto->mutable_last_contact_time() = base::rpc::ToProto(*device.last_contact_at);
    }
    if (static_cast<int>(devices.size()) == size) {
      response->set_next_page_token(
          base::rpc::MakePageToken(kList, absl::StrCat(devices.back().state, "/", devices.back().mac)));
    }
    return absl::OkStatus();
  });
}
END_RPC

RPC(LeaveSecureMode) {
  ASSIGN_OR_RETURN(std::set<std::string> macs, DevicesOf(*request));
  ASSIGN_OR_RETURN(LeftDevices left, provisioning::LeaveSecureMode(database_, macs, caller.actor));
  Fill(left, response);
  return absl::OkStatus();
}
END_RPC

RPC(ReEnrolDevice) {
  ASSIGN_OR_RETURN(std::set<std::string> macs, DevicesOf(*request));
  ASSIGN_OR_RETURN(LeftDevices left, ReEnrolDevices(database_, macs, caller.actor));
  Fill(left, response);
  response->set_created_jobs(left.created_jobs);
  on_jobs_();
  return absl::OkStatus();
}
END_RPC

}  // namespace phonepki::provisioning
