// Secure mode: credentials of both sides, states of phones, events at the doors.
#include <type_traits>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/commands/secure_mode_pin.h"
#include "phonepki/security/v1/security.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = security::v1;
using Stub = v1::SecurityService::Stub;

constexpr Noun kCredential = {"credential", "secureCredentials", Complete::kNothing,
                              "credential: number or secureCredentials/{id}"};

std::string SecondsText(const google::protobuf::Timestamp& time, absl::TimeZone zone) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", FromProto(time), zone);
}

Cell StateOf(v1::SecurityState state) {
  const std::string word = state == v1::SECURITY_STATE_UNSPECIFIED ? "" : Word(v1::SecurityState_Name(state));
  switch (state) {
    case v1::SECURE:
      return {word, Color::kGreen};
    case v1::PIN_EXHAUSTED:
    case v1::DESYNCHRONISED:
      return {word, Color::kRed};
    case v1::AWAITING_PIN:
      return {word, Color::kYellow};
    case v1::ENROLLING:
      return {word, Color::kCyan};
    default:
      return word;
  }
}

std::string NamesOf(const v1::SecureCredential& credential) {
  std::string names = Joined(credential.dns_names());
  const std::string addresses = Joined(credential.ip_addresses());
  return names.empty() || addresses.empty() ? names + addresses : absl::StrCat(names, ", ", addresses);
}

void ShowCredential(Session& session, const v1::SecureCredential& credential) {
  Sheet sheet;
  sheet.Add("Name", credential.name());
  sheet.Add("Kind", Word(v1::SecureCredential::Kind_Name(credential.kind())));
  sheet.Add("Active", credential.active() ? "yes" : "no", EnabledCell(credential.active()).color);
  sheet.Add("Connector",
            absl::StrCat(credential.connector_display_name(), " (", credential.connector(), ")"));
  sheet.Add("Issuing CA", credential.issuing_ca().subject());
  sheet.Add("Root", credential.root().subject());
  sheet.Add("Root SHA-256", credential.root().sha256_fingerprint());
  if (credential.has_certificate()) {
    AddCertificate(sheet, "", credential.certificate(), session.zone());
    sheet.Add("Server names", NamesOf(credential));
  }
  session.Print(sheet);
}

Command CreateCredential() {
  struct Arguments {
    std::string kind, connector;
    std::vector<std::string> names;
    CreateOptions create;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary = "Create a credential from a connector; the first of its kind becomes active";
  command.description =
      "server: key and certificate of the secure door. client: where the phones' own certificates come from. "
      "Existing ones stay trusted until they are deleted.";
  command.examples = {"phonepki secure-mode credential create server --connector Doors",
                      "phonepki secure-mode credential create server --connector Doors --server-name "
                      "pki.example.net --server-name 10.1.0.5",
                      "phonepki secure-mode credential create client --connector PhoneClients"};
  command.options = {
      Positional("KIND", "whose credential", &args->kind).Required().OneOf({"server", "client"}),
      Value("--connector", "CONNECTOR", "the connector that issues", &args->connector)
          .Required()
          .Completing(Complete::kConnector),
      Value("--server-name", "NAME",
            "host name or IP address that phones call, for a server certificate; default: "
            "the server's configuration",
            &args->names)};
  args->create.AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreateCredentialRequest request;
    request.set_kind(args->kind == "server" ? v1::SecureCredential::SERVER : v1::SecureCredential::CLIENT);
    request.set_connector(ResourceName("connectors", args->connector));
    for (const std::string& name : args->names) request.add_server_names(name);
    args->create.Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreateCredential, request));
    return session.Show(response, [&] {
      session.environment().out << args->kind << " credential " << args->create.Outcome("created") << "\n\n";
      ShowCredential(session, response.credential());
    });
  };
  return command;
}

Command ListCredentials() {
  auto kind = std::make_shared<std::string>();
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List credentials, newest first";
  command.examples = {"phonepki secure-mode credential list",
                      "phonepki secure-mode credential list --kind server -o json"};
  command.options = {Value("--kind", "KIND", "only these", kind.get()).OneOf({"server", "client"})};
  command.run = [kind](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListCredentialsRequest request;
    if (*kind == "server") request.set_kind(v1::SecureCredential::SERVER);
    if (*kind == "client") request.set_kind(v1::SecureCredential::CLIENT);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListCredentials, request));
    return session.Show(response, [&] {
      Table table({{"ID"},
                   {"KIND"},
                   {"ACTIVE"},
                   {"CONNECTOR"},
                   {"ISSUING CA", false, true},
                   {"SERVER NAMES", false, true},
                   {"VALID TO"},
                   {"CREATED"}});
      for (const v1::SecureCredential& credential : response.credentials()) {
        table.Add({ShortName(credential.name()), Word(v1::SecureCredential::Kind_Name(credential.kind())),
                   EnabledCell(credential.active()), credential.connector_display_name(),
                   credential.issuing_ca().subject(), NamesOf(credential),
                   TimeText(credential.certificate().not_after(), session.zone()),
                   TimeText(credential.create_time(), session.zone())});
      }
      session.Print(table);
    });
  };
  return command;
}

template <typename Request, typename Response>
Command CredentialVerb(const std::string& verb, const std::string& summary, const std::string& force,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                       const std::string& done) {
  struct Arguments {
    std::string id;
    bool force = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = verb;
  command.summary = summary;
  command.examples = {absl::StrCat("phonepki secure-mode credential ", verb, " 4")};
  command.options = {Positional("ID", kCredential.argument, &args->id).Required(),
                     Flag("--force", force, &args->force)};
  command.run = [args, method, done](Session& session) -> absl::StatusOr<ExitCode> {
    Request request;
    request.set_name(ResourceName(kCredential.collection, args->id));
    request.set_force(args->force);
    ASSIGN_OR_RETURN(Response response, session.Call(method, request));
    return session.Show(response, [&] { Say(session, kCredential, ShortName(request.name()), done); });
  };
  return command;
}

Command ActivateCredential() {
  return CredentialVerb<v1::ActivateCredentialRequest, v1::ActivateCredentialResponse>(
      "activate", "Make a credential the active one of its kind; the former one stays trusted",
      "also when phones in secure mode were not given its CA: they will call no more",
      &Stub::ActivateCredential, "is active");
}

Command DeleteCredential() {
  Command command = CredentialVerb<v1::DeleteCredentialRequest, v1::DeleteCredentialResponse>(
      "delete", "Delete a credential that is neither active nor the last of its kind",
      "also when phones in secure mode depend on it: they will be locked out", &Stub::DeleteCredential,
      "deleted");
  command.aliases = {"rm"};
  return command;
}

Command CredentialCommand() {
  Command command;
  command.name = "credential";
  command.aliases = {"credentials"};
  command.summary = "Credentials of the secure door and of the phones";
  command.examples = {"phonepki secure-mode credential list"};
  command.commands = {CreateCredential(), ListCredentials(), ActivateCredential(), DeleteCredential()};
  return command;
}

// ---- states and events

Command Protocol() {
  struct Arguments {
    std::string device;
    std::int64_t limit = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "protocol";
  command.summary = "Show the security state protocol of one phone, newest first";
  command.examples = {"phonepki secure-mode protocol 00:1A:E8:00:00:01"};
  command.options = {
      Positional("DEVICE", "MAC address", &args->device).Required().Completing(Complete::kDevice),
      Value("--limit", "N", "at most so many; default all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListSecurityStatesRequest request;
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(args->device));
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListSecurityStates, request, args->limit));
    return session.Show(response, [&] {
      Table table({{"TIME"}, {"STATE"}, {"TEXT", false, true}});
      for (const v1::SecurityStateEvent& event : response.events()) {
        table.Add({SecondsText(event.time(), session.zone()), StateOf(event.state()), event.text()});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Events() {
  struct Arguments {
    std::string device;
    std::int64_t limit = 100;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "events";
  command.summary = "List who tried what at a phone door, newest first";
  command.examples = {"phonepki secure-mode events",
                      "phonepki secure-mode events --device 00:1A:E8:00:00:01"};
  command.options = {Value("--device", "MAC", "events that claim this MAC address", &args->device)
                         .Completing(Complete::kDevice),
                     Value("--limit", "N", "at most so many; default 100, 0 is all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListSecurityEventsRequest request;
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(args->device));
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListSecurityEvents, request, args->limit));
    return session.Show(response, [&] {
      Table table({{"TIME"}, {"EVENT"}, {"DOOR"}, {"FROM"}, {"MAC"}, {"DETAIL", false, true}});
      for (const v1::SecurityEvent& event : response.events()) {
        table.Add({SecondsText(event.time(), session.zone()), event.kind(), event.door(), event.address(),
                   event.mac(), event.detail()});
      }
      session.Print(table);
    });
  };
  return command;
}

std::vector<std::string> StateWords() {
  std::vector<std::string> words;
  for (int state = v1::ENROLLING; state <= v1::SecurityState_MAX; ++state)
    words.push_back(StateOf(static_cast<v1::SecurityState>(state)).text);
  return words;
}

Command Devices() {
  struct Arguments {
    std::string state;
    std::int64_t limit = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "devices";
  command.aliases = {"phones"};
  command.summary = "List phones that are not in default mode";
  command.examples = {"phonepki secure-mode devices --state awaiting-pin",
                      "phonepki secure-mode devices --state desynchronised -o json"};
  command.options = {Value("--state", "STATE", "only in this state", &args->state).OneOf(StateWords()),
                     Value("--limit", "N", "at most so many; default all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListSecureDevicesRequest request;
    v1::SecurityState state = v1::SECURITY_STATE_UNSPECIFIED;
    if (!args->state.empty()) {
      v1::SecurityState_Parse(absl::StrReplaceAll(absl::AsciiStrToUpper(args->state), {{"-", "_"}}), &state);
    }
    request.set_state(state);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListSecureDevices, request, args->limit));
    return session.Show(response, [&] {
      Table table(
          {{"MAC"}, {"STATE"}, {"SINCE"}, {"LOCATION", false, true}, {"E.164"}, {"TEXT", false, true}});
      for (const v1::SecureDevice& device : response.devices()) {
        table.Add({ShortName(device.device()), StateOf(device.state()),
                   TimeText(device.change_time(), session.zone()), device.location_display_name(),
                   device.e164(), device.text()});
      }
      session.Print(table);
    });
  };
  return command;
}

// ---- leaving

constexpr int kMaxDevicesOfCall = 10000;

struct LeavingArguments {
  std::vector<std::string> devices;
  bool stranded = false;
  std::string location;

  void AddTo(std::vector<Option>& options) {
    options.push_back(Positional("DEVICE", "MAC addresses", &devices).Completing(Complete::kDevice));
    options.push_back(Flag("--stranded", "all phones that are desynchronised", &stranded));
    options.push_back(
        Value("--location", "LOCATION", "with --stranded: only those of this location", &location)
            .Completing(Complete::kLocation));
  }
  // Resource names.
  absl::StatusOr<std::vector<std::string>> Names(Session& session) const {
    std::vector<std::string> names;
    for (const std::string& device : devices) {
      ASSIGN_OR_RETURN(names.emplace_back(), DeviceName(device));
    }
    if (stranded != names.empty()) {
      return base::InvalidField("device", "DEVICES_OR_STRANDED", "give either MAC addresses or --stranded");
    }
    if (!stranded && !location.empty()) {
      return base::InvalidField("location", "LOCATION_WITHOUT_STRANDED", "goes with --stranded only");
    }
    if (!stranded) return names;
    v1::ListSecureDevicesRequest request;
    request.set_state(v1::DESYNCHRONISED);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListSecureDevices, request));
    const std::string wanted = location.empty() ? "" : ResourceName("locations", location);
    for (const v1::SecureDevice& device : response.devices()) {
      if (wanted.empty() || device.location() == wanted ||
          absl::StrCat("locations/", device.location_display_name()) == wanted) {
        names.push_back(device.device());
      }
    }
    return names;
  }
};

template <typename Request, typename Response>
Command LeavingCommand(const std::string& name, const std::string& done,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  auto args = std::make_shared<LeavingArguments>();
  Command command;
  command.name = name;
  command.examples = {absl::StrCat("phonepki secure-mode ", name, " 00:1A:E8:00:00:01 00:1A:E8:00:00:02"),
                      absl::StrCat("phonepki secure-mode ", name, " --stranded --location Bremen")};
  args->AddTo(command.options);
  command.run = [args, done, method](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(std::vector<std::string> names, args->Names(session));
    Response total;
    for (std::size_t first = 0; first < names.size(); first += kMaxDevicesOfCall) {
      Request request;
      for (std::size_t i = first; i < names.size() && i < first + kMaxDevicesOfCall; ++i) {
        request.add_devices(names[i]);
      }
      ASSIGN_OR_RETURN(Response response, session.Call(method, request));
      total.set_devices(total.devices() + response.devices());
      total.set_revoked_certificates(total.revoked_certificates() + response.revoked_certificates());
      total.set_cancelled_jobs(total.cancelled_jobs() + response.cancelled_jobs());
      if constexpr (std::is_same_v<Response, v1::ReEnrolDeviceResponse>) {
        total.set_created_jobs(total.created_jobs() + response.created_jobs());
      }
    }
    return session.Show(total, [&] {
      session.environment().out << total.devices() << " phones " << done << "; "
                                << total.revoked_certificates() << " certificates revoked, "
                                << total.cancelled_jobs() << " jobs cancelled\n";
    });
  };
  return command;
}

Command Leave() {
  Command command = LeavingCommand<v1::LeaveSecureModeRequest, v1::LeaveSecureModeResponse>(
      "leave", "taken out of secure mode", &Stub::LeaveSecureMode);
  command.summary = "Take phones out of secure mode; their certificates are revoked";
  command.description =
      "The phones learn nothing of it: one that is still in secure mode is refused until it is reset to "
      "default security at the desk.";
  return command;
}

Command ReEnrol() {
  Command command = LeavingCommand<v1::ReEnrolDeviceRequest, v1::ReEnrolDeviceResponse>(
      "re-enrol", "to be enrolled again", &Stub::ReEnrolDevice);
  command.summary = "Enrol phones again that were reset to default security";
  command.description =
      "The former certificates are revoked, and the deployment of secure mode in force for each phone's "
      "location sends new credentials. Whoever answers at the phone's address gets them: be sure that it is "
      "the phone.";
  return command;
}

}  // namespace

Command SecureModeCommand() {
  Command command;
  command.name = "secure-mode";
  command.summary = "Secure mode: credentials, PINs, states of phones, events at the doors";
  command.description =
      "Phones in secure mode and this server prove to each other who they are. It takes an active server "
      "credential and an active client credential.";
  command.examples = {"phonepki secure-mode credential create server --connector Doors",
                      "phonepki secure-mode credential create client --connector PhoneClients",
                      "phonepki secure-mode enrol --location Bremen --wave 50 --watch",
                      "phonepki secure-mode devices"};
  command.commands = {CredentialCommand(), EnrolCommand(), PinCommand(), Devices(),
                      Protocol(),          Events(),       Leave(),      ReEnrol()};
  return command;
}

}  // namespace phonepki::cli
