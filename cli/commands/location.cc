// Locations: which phones belong together.
#include <algorithm>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/device/v1/location.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = device::v1;
using Stub = v1::LocationService::Stub;

constexpr Noun kNoun = {"location", "locations", Complete::kLocation, "location: name, id or locations/{id}"};

Option NameArgument(std::string* name) {
  return Positional("NAME", kNoun.argument, name).Required().Completing(kNoun.complete);
}

std::string RuleText(const v1::LocationRule& rule) {
  return absl::StrCat(Word(v1::LocationRule::Kind_Name(rule.kind())), " ", rule.value());
}

// "192.0.2.10:18443, secure port 18444"; what is not given is the server's.
std::string ServerText(const v1::Location& location) {
  const std::string& host = location.server_address();
  const bool six = absl::StrContains(host, ':') && location.server_port() != 0;
  std::string text = six ? absl::StrCat("[", host, "]") : host;
  if (location.server_port() != 0) absl::StrAppend(&text, ":", location.server_port());
  if (location.server_secure_port() == 0) return text;
  return absl::StrCat(text, text.empty() ? "" : ", ", "secure port ", location.server_secure_port());
}

void ShowLocation(Session& session, const v1::Location& location) {
  Sheet sheet;
  sheet.Add("Name", location.name());
  sheet.Add("Location", location.display_name());
  sheet.Add("Description", location.description());
  sheet.Add("Priority", absl::StrCat(location.priority()));
  sheet.Add("Default", location.is_default() ? "yes, takes whatever no rule takes" : "");
  for (const v1::LocationRule& rule : location.rules()) sheet.Add("Rule", RuleText(rule));
  sheet.Add("Phones call", ServerText(location));
  sheet.Add("Devices", absl::StrCat(location.device_count()));
  sheet.Add("Sessions at once",
            location.max_sessions() == 0 ? "no limit of its own" : absl::StrCat(location.max_sessions()));
  session.Print(sheet);
}

struct RuleArguments {
  std::vector<std::string> cidr, e164_prefix, device_type, device;

  void AddTo(std::vector<Option>& options) {
    options.push_back(Value("--cidr", "NETWORK", "phones with an address in it, such as 10.1.0.0/16", &cidr));
    options.push_back(
        Value("--e164-prefix", "DIGITS", "phones whose number begins so, such as 4989123", &e164_prefix));
    options.push_back(Value("--device-type", "TYPE", "phones of a type; may end with *", &device_type));
    options.push_back(Value("--device", "MAC", "one phone", &device).Completing(Complete::kDevice));
  }

  bool any() const {
    return !cidr.empty() || !e164_prefix.empty() || !device_type.empty() || !device.empty();
  }

  absl::Status Fill(google::protobuf::RepeatedPtrField<v1::LocationRule>* rules) const {
    const auto add = [&](v1::LocationRule::Kind kind, const std::string& value) {
      v1::LocationRule* rule = rules->Add();
      rule->set_kind(kind);
      rule->set_value(value);
    };
    for (const std::string& value : cidr) add(v1::LocationRule::CIDR, value);
    for (const std::string& value : e164_prefix) {
      add(v1::LocationRule::E164_PREFIX, value[0] == '+' ? value.substr(1) : value);
    }
    for (const std::string& value : device_type) add(v1::LocationRule::DEVICE_TYPE, value);
    for (const std::string& value : device) {
      ASSIGN_OR_RETURN(std::string name, DeviceName(value));
      add(v1::LocationRule::DEVICE, ShortName(name));
    }
    return absl::OkStatus();
  }
};

struct ServerArguments {
  std::optional<std::string> address;
  std::optional<std::int64_t> port, secure_port;

  void AddTo(std::vector<Option>& options) {
    options.push_back(
        Value("--server-address", "HOST",
              "IP address or host name that phones here must call; '' that of the configuration", &address));
    options.push_back(
        Value("--server-port", "PORT", "port that goes with it; 0 that of the configuration", &port));
    options.push_back(Value(
        "--server-secure-port", "PORT",
        "port that phones here are told to call in secure mode; 0 that of the configuration", &secure_port));
  }

  template <typename Request>
  void Fill(Request& request) const {
    if (address) request.set_server_address(*address);
    if (port) request.set_server_port(static_cast<int>(*port));
    if (secure_port) request.set_server_secure_port(static_cast<int>(*secure_port));
  }
};

constexpr char kRuleHelp[] =
    "A location takes a phone when any of its rules does. Among several the highest priority wins, then the "
    "more "
    "specific rule, then the older location; a phone is in exactly one.";

Command Create() {
  struct Arguments : RuleArguments, ServerArguments, CreateOptions {
    std::string name, description;
    std::optional<std::int64_t> priority;
    std::int64_t max_sessions = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary = "New location with the rules that put phones into it";
  command.description = kRuleHelp;
  command.examples = {
      "phonepki location create Bremen --cidr 10.1.0.0/16 --cidr 10.2.0.0/16",
      "phonepki location create Lobby --device 00:1A:E8:00:00:01 --priority 200",
      "phonepki location create Kiel --cidr 10.7.0.0/16 --server-address 192.0.2.10 --server-secure-port 443",
      "phonepki location create Sales --e164-prefix 4989123 --device-type 'OpenScape Desk Phone CP*'"};
  command.options = {
      Positional("NAME", "name of the location", &args->name).Required(),
      Value("--description", "TEXT", "description", &args->description),
      Value("--priority", "N", "0 to 1000; default 100", &args->priority),
      Value("--max-sessions", "N", "phones worked on at once; default no limit", &args->max_sessions)};
  args->RuleArguments::AddTo(command.options);
  args->ServerArguments::AddTo(command.options);
  args->CreateOptions::AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreateLocationRequest request;
    request.set_display_name(args->name);
    request.set_description(args->description);
    if (args->priority) request.set_priority(static_cast<int>(*args->priority));
    request.set_max_sessions(static_cast<int>(args->max_sessions));
    RETURN_IF_ERROR(args->RuleArguments::Fill(request.mutable_rules()));
    args->ServerArguments::Fill(request);
    args->Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreateLocation, request));
    return session.Show(response, [&] {
      if (args->dry_run) session.Note("dry run: nothing was changed");
      ShowLocation(session, response.location());
      session.Note(absl::StrCat(response.moved_devices(), " devices ", args->Outcome("moved")));
    });
  };
  return command;
}

Command Try() {
  struct Arguments : RuleArguments {
    std::string name;
    std::optional<std::int64_t> priority;
    std::int64_t max_moves = 100;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "try";
  command.summary = "Try rules out: which phones would move where, changing nothing";
  command.description = kRuleHelp;
  command.examples = {"phonepki location try --cidr 10.1.0.0/16",
                      "phonepki location try Bremen --cidr 10.1.0.0/16 --priority 150"};
  command.options = {
      Positional("NAME", "a location whose rules are to change; none: a new one", &args->name)
          .Completing(Complete::kLocation),
      Value("--priority", "N", "priority; default that of the location, or 100", &args->priority),
      Value("--max-moves", "N", "how many moves to list, at most 1000", &args->max_moves)};
  args->AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::TryLocationRulesRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    request.set_max_moves(static_cast<int>(args->max_moves));
    request.set_priority(static_cast<int>(args->priority.value_or(100)));
    if (!args->name.empty() && !args->priority) {
      v1::GetLocationRequest get;
      get.set_name(request.name());
      ASSIGN_OR_RETURN(auto existing, session.Call(&Stub::GetLocation, get));
      request.set_priority(existing.location().priority());
    }
    RETURN_IF_ERROR(args->Fill(request.mutable_rules()));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::TryLocationRules, request));
    return session.Show(response, [&] {
      if (response.moves_size() > 0) {
        Table table({{"DEVICE"}, {"FROM"}, {"TO"}});
        for (const auto& move : response.moves()) {
          table.Add({ShortName(move.device()), move.from_location(), move.to_location()});
        }
        session.Print(table);
      }
      session.Note(
          absl::StrCat(response.total_moves(), " of ", response.devices_checked(), " devices would move"));
    });
  };
  return command;
}

Command Update() {
  struct Arguments : RuleArguments, ServerArguments {
    std::string name;
    std::optional<std::string> new_name, description;
    std::optional<std::int64_t> priority, max_sessions;
    bool no_rules = false, dry_run = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "update";
  command.summary = "Change a location; given rules replace all its rules";
  command.description = kRuleHelp;
  command.examples = {"phonepki location update Bremen --cidr 10.1.0.0/16 --cidr 10.3.0.0/16",
                      "phonepki location update Bremen --max-sessions 20",
                      "phonepki location update Bremen --server-address 192.0.2.10 --server-port 18443"};
  command.options = {
      NameArgument(&args->name),
      Value("--name", "NAME", "new name", &args->new_name),
      Value("--description", "TEXT", "new description", &args->description),
      Value("--priority", "N", "0 to 1000", &args->priority),
      Value("--max-sessions", "N", "phones worked on at once; 0 no limit", &args->max_sessions),
      Flag("--no-rules", "remove all rules", &args->no_rules),
      Flag("--dry-run,--validate-only", "check everything, change nothing", &args->dry_run)};
  args->RuleArguments::AddTo(command.options);
  args->ServerArguments::AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdateLocationRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    if (args->new_name) request.set_display_name(*args->new_name);
    if (args->description) request.set_description(*args->description);
    if (args->priority) request.set_priority(static_cast<int>(*args->priority));
    if (args->max_sessions) request.set_max_sessions(static_cast<int>(*args->max_sessions));
    args->ServerArguments::Fill(request);
    request.set_validate_only(args->dry_run);
    if (args->no_rules && args->any()) {
      return base::InvalidField("no-rules", "RULES", "--no-rules cannot go with rules");
    }
    if (args->no_rules || args->any()) {
      RETURN_IF_ERROR(args->RuleArguments::Fill(request.mutable_rules()->mutable_rules()));
    }
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::UpdateLocation, request));
    return session.Show(response, [&] {
      ShowLocation(session, response.location());
      session.Note(
          absl::StrCat(response.moved_devices(), " devices ", args->dry_run ? "would be " : "", "moved"));
    });
  };
  return command;
}

Command List() {
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List the locations";
  command.examples = {"phonepki location list"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListLocations, v1::ListLocationsRequest()));
    return session.Show(response, [&] {
      const bool servers =
          std::any_of(response.locations().begin(), response.locations().end(),
                      [](const v1::Location& location) { return !ServerText(location).empty(); });
      std::vector<Column> columns = {
          {"ID"}, {"LOCATION"}, {"DEVICES", true}, {"PRIORITY", true}, {"RULES", false, true}};
      if (servers) columns.push_back({"PHONES CALL"});
      columns.push_back({"DESCRIPTION", false, true});
      Table table(std::move(columns));
      for (const v1::Location& location : response.locations()) {
        std::string rules = location.is_default() ? "(default)" : "";
        for (const v1::LocationRule& rule : location.rules())
          absl::StrAppend(&rules, rules.empty() ? "" : ", ", RuleText(rule));
        std::vector<Cell> cells = {ShortName(location.name()), location.display_name(),
                                   absl::StrCat(location.device_count()), absl::StrCat(location.priority()),
                                   rules};
        if (servers) cells.emplace_back(ServerText(location));
        cells.emplace_back(location.description());
        table.Add(std::move(cells));
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  return NamedCommand<Stub, v1::GetLocationRequest, v1::GetLocationResponse>(
      kNoun, "get", "Show one location", {"phonepki location get Bremen"}, &Stub::GetLocation,
      [](Session& session, const auto& response, const std::string&) {
        ShowLocation(session, response.location());
      });
}

Command Delete() {
  return NamedCommand<Stub, v1::DeleteLocationRequest, v1::DeleteLocationResponse>(
      kNoun, "delete",
      "Delete a location that no deployment names; its phones go where the other rules put them",
      {"phonepki location delete Bremen"}, &Stub::DeleteLocation,
      [](Session& session, const auto& response, const std::string& typed) {
        Say(session, kNoun, typed, absl::StrCat("deleted, ", response.moved_devices(), " devices moved"));
      });
}

}  // namespace

Command LocationCommand() {
  Command command;
  command.name = "location";
  command.summary = "Locations: which phones belong together";
  command.description = "Deployments address locations. Phones find theirs by rules.";
  command.examples = {"phonepki location create Bremen --cidr 10.1.0.0/16", "phonepki location list"};
  command.commands = {Create(), Try(), Update(), List(), Get(), Delete()};
  return command;
}

}  // namespace phonepki::cli
