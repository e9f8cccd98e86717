// Plug-in configurations: chapter 3.12.1.2 of the OpenScape guide.
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/pki/v1/plugin.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = pki::v1;
using Stub = v1::PluginService::Stub;

constexpr Noun kNoun = {"plug-in", "plugins", Complete::kPlugin,
                        "plug-in configuration: name, id or plugins/{id}"};

Option NameArgument(std::string* name) {
  return Positional("NAME", kNoun.argument, name).Required().Completing(kNoun.complete);
}

void ShowPlugin(Session& session, const v1::Plugin& plugin) {
  Sheet sheet;
  sheet.Add("Name", plugin.name());
  sheet.Add("PKI Connector Plug-In", plugin.display_name());
  sheet.Add("Description", plugin.description());
  sheet.Add("Enabled", plugin.enabled() ? "yes" : "no", plugin.enabled() ? Color::kGreen : Color::kDim);
  sheet.Add("Created", TimeText(plugin.create_time(), session.zone(), true));
  session.Print(sheet);
  if (plugin.properties_size() > 0) {
    session.environment().out << '\n';
    Table table({{"PROPERTY"}, {"VALUE", false, true}, {"REMARK"}});
    for (const common::v1::Property& property : plugin.properties()) {
      bool unknown = false;
      for (const std::string& name : plugin.unknown_properties()) unknown |= name == property.name();
      table.Add(
          {property.name(), property.value(), Cell(unknown ? "unknown, no effect" : "", Color::kYellow)});
    }
    session.Print(table);
  }
  if (plugin.issuing_cas_size() > 0) {
    session.environment().out << '\n';
    Table table({{"ISSUING CA"}, {"NAME"}, {"STATE"}});
    for (const v1::IssuingCa& ca : plugin.issuing_cas()) {
      table.Add({ca.display_name(), ca.internal_ca(), StateCell(v1::IssuingCa::State_Name(ca.state()))});
    }
    session.Print(table);
  }
}

// The properties that have an option of their own.
struct PropertyArguments {
  std::vector<std::string> properties;
  std::optional<std::int64_t> validity_days;
  std::string template_, name_source, key_algorithm;

  void AddTo(std::vector<Option>& options) {
    options.push_back(
        Value("--template", "DN",
              "internal.x509name.template: subject of the certificates; '?' in its CN becomes the "
              "phone's address or name, as in \"C=US, O=Unify, CN=?\"",
              &template_));
    options.push_back(Value("--validity-days", "N",
                            "internal.default.validity.days: days a certificate lives; 1095",
                            &validity_days));
    options.push_back(Value("--name-source", "SOURCE",
                            "internal.x509name.source: what '?' becomes; default ip", &name_source)
                          .OneOf({"ip", "fqdn", "fqdn-then-ip", "ip-then-fqdn"}));
    options.push_back(
        Value("--key-algorithm", "ALGORITHM", "internal.key.algorithm; default rsa2048", &key_algorithm)
            .OneOf({"rsa2048", "rsa3072", "rsa4096", "ecdsa-p256", "ecdsa-p384", "rsa1024"}));
    options.push_back(Value("--property", "NAME=VALUE", "any other property", &properties));
  }

  absl::Status Fill(google::protobuf::RepeatedPtrField<common::v1::Property>* fields) const {
    const auto add = [&](const char* name, const std::string& value) {
      if (value.empty()) return;
      common::v1::Property* property = fields->Add();
      property->set_name(name);
      property->set_value(value);
    };
    add("internal.x509name.template", template_);
    add("internal.default.validity.days", validity_days ? absl::StrCat(*validity_days) : "");
    add("internal.x509name.source", name_source);
    add("internal.key.algorithm", key_algorithm);
    return ParseProperties(properties, "property", fields);
  }
};

Command Create() {
  struct Arguments : PropertyArguments, CreateOptions {
    std::string name, description;
    bool synchronize = false, enable = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary = "New plug-in configuration with its properties";
  command.description =
      "The template should repeat the subject of the issuing CA except for the CN.\n"
      "--synchronize takes over all enabled internal CAs (tab Issuing CAs); --enable is the tick box "
      "\"Enable Plug-In\".";
  command.examples = {
      "phonepki plugin create Phones --template 'C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=?' \\",
      "    --validity-days 1095 --name-source ip --synchronize --enable",
      "phonepki plugin create Draft --description 'to be completed' --property "
      "internal.key.algorithm=ecdsa-p256"};
  command.options = {
      Positional("NAME", "PKI Connector Plug-In", &args->name).Required(),
      Value("--description", "TEXT", "Description", &args->description),
      Flag("--synchronize,--synchronise", "take over all enabled internal CAs", &args->synchronize),
      Flag("--enable", "Enable Plug-In", &args->enable)};
  args->PropertyArguments::AddTo(command.options);
  args->CreateOptions::AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreatePluginRequest request;
    request.set_display_name(args->name);
    request.set_description(args->description);
    request.set_synchronize(args->synchronize);
    request.set_enable(args->enable);
    RETURN_IF_ERROR(args->Fill(request.mutable_properties()));
    args->Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreatePlugin, request));
    return session.Show(response, [&] {
      if (args->dry_run) session.Note("dry run: nothing was changed");
      ShowPlugin(session, response.plugin());
    });
  };
  return command;
}

Command Set() {
  struct Arguments {
    std::string name;
    std::vector<std::string> properties;
    bool dry_run = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "set";
  command.summary = "Set properties of a plug-in configuration (tab Plug-In Properties)";
  command.description =
      "Known names: internal.default.validity.days, internal.x509name.template, internal.x509name.source, "
      "internal.key.algorithm, internal.key.allow-legacy, internal.validity.allow-past-2038.";
  command.examples = {"phonepki plugin set Phones internal.default.validity.days=1095",
                      "phonepki plugin set Phones 'internal.x509name.template=C=US, O=Unify, CN=?'"};
  command.options = {NameArgument(&args->name),
                     Positional("PROPERTY", "name=value", &args->properties).Required(),
                     Flag("--dry-run,--validate-only", "check everything, change nothing", &args->dry_run)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::SetPluginPropertiesRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    request.set_validate_only(args->dry_run);
    RETURN_IF_ERROR(ParseProperties(args->properties, "property", request.mutable_set()));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::SetPluginProperties, request));
    return session.Show(response, [&] { ShowPlugin(session, response.plugin()); });
  };
  return command;
}

Command Unset() {
  struct Arguments {
    std::string name;
    std::vector<std::string> properties;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "unset";
  command.summary = "Remove properties, so that their defaults hold again";
  command.examples = {"phonepki plugin unset Phones internal.x509name.source"};
  command.options = {NameArgument(&args->name), Positional("PROPERTY", "name", &args->properties).Required()};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::SetPluginPropertiesRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    for (const std::string& name : args->properties) request.add_remove(name);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::SetPluginProperties, request));
    return session.Show(response, [&] { ShowPlugin(session, response.plugin()); });
  };
  return command;
}

Command Update() {
  struct Arguments {
    std::string name;
    std::optional<std::string> new_name, description;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "update";
  command.summary = "Change name or description of a plug-in configuration";
  command.examples = {"phonepki plugin update Phones --description 'all desk phones'"};
  command.options = {NameArgument(&args->name), Value("--name", "NAME", "new name", &args->new_name),
                     Value("--description", "TEXT", "new description", &args->description)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdatePluginRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    if (args->new_name) request.set_display_name(*args->new_name);
    if (args->description) request.set_description(*args->description);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::UpdatePlugin, request));
    return session.Show(response, [&] { ShowPlugin(session, response.plugin()); });
  };
  return command;
}

Command Synchronize() {
  Command command = NamedCommand<Stub, v1::SynchronizePluginRequest, v1::SynchronizePluginResponse>(
      kNoun, "synchronize", "Synchronise: take over all enabled internal CAs (tab Issuing CAs)",
      {"phonepki plugin synchronize Phones"}, &Stub::SynchronizePlugin,
      [](Session& session, const auto& response, const std::string&) {
        Say(session, kNoun, response.plugin().display_name(), "synchronised");
        if (response.added_size() > 0)
          session.environment().out << "added: " << Printable(Joined(response.added())) << '\n';
        if (response.missing_size() > 0) {
          session.Note(
              absl::StrCat("used by a connector, but disabled or deleted: ", Joined(response.missing())));
        }
      });
  command.aliases = {"synchronise", "sync"};
  return command;
}

Command Enable() {
  return NamedCommand<Stub, v1::EnablePluginRequest, v1::EnablePluginResponse>(
      kNoun, "enable", "Enable Plug-In: connectors can issue through it from now on",
      {"phonepki plugin enable Phones"}, &Stub::EnablePlugin,
      [](Session& session, const auto& response, const std::string&) {
        Say(session, kNoun, response.plugin().display_name(), "enabled");
      });
}

Command Disable() {
  struct Arguments {
    std::string name;
    bool force = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "disable";
  command.summary = "Disable a plug-in configuration";
  command.examples = {"phonepki plugin disable Phones", "phonepki plugin disable Phones --force"};
  command.options = {NameArgument(&args->name),
                     Flag("--force", "even though enabled connectors use it", &args->force)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::DisablePluginRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    request.set_force(args->force);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DisablePlugin, request));
    return session.Show(response, [&] {
      Say(session, kNoun, response.plugin().display_name(), "disabled");
      if (response.affected_connectors_size() > 0) {
        session.Note(
            absl::StrCat("these connectors refuse to issue now: ", Joined(response.affected_connectors())));
      }
    });
  };
  return command;
}

Command List() {
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List the plug-in configurations";
  command.examples = {"phonepki plugin list"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListPlugins, v1::ListPluginsRequest()));
    return session.Show(response, [&] {
      Table table({{"ID"},
                   {"PLUG-IN"},
                   {"ENABLED"},
                   {"DAYS", true},
                   {"TEMPLATE", false, true},
                   {"ISSUING CAS", false, true}});
      for (const v1::Plugin& plugin : response.plugins()) {
        const auto value = [&](const char* name) {
          for (const common::v1::Property& property : plugin.properties()) {
            if (property.name() == name) return property.value();
          }
          return std::string();
        };
        std::string cas;
        for (const v1::IssuingCa& ca : plugin.issuing_cas())
          absl::StrAppend(&cas, cas.empty() ? "" : ", ", ca.display_name());
        table.Add({ShortName(plugin.name()), plugin.display_name(), EnabledCell(plugin.enabled()),
                   value("internal.default.validity.days"), value("internal.x509name.template"), cas});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  return NamedCommand<Stub, v1::GetPluginRequest, v1::GetPluginResponse>(
      kNoun, "get", "Show one plug-in configuration", {"phonepki plugin get Phones"}, &Stub::GetPlugin,
      [](Session& session, const auto& response, const std::string&) {
        ShowPlugin(session, response.plugin());
      });
}

Command Delete() {
  return NamedCommand<Stub, v1::DeletePluginRequest, v1::DeletePluginResponse>(
      kNoun, "delete", "Delete a plug-in configuration that no connector names",
      {"phonepki plugin delete Phones"}, &Stub::DeletePlugin,
      [](Session& session, const auto&, const std::string& typed) { Say(session, kNoun, typed, "deleted"); });
}

}  // namespace

Command PluginCommand() {
  Command command;
  command.name = "plugin";
  command.aliases = {"plug-in", "plugin-configuration"};
  command.summary = "Plug-in configurations: subject template, validity, issuing CAs";
  command.description = "A plug-in is the template of the certificates. Step two of a new PKI.";
  command.examples = {
      "phonepki plugin create Phones --template 'C=US, O=Unify, CN=?' --synchronize --enable"};
  command.commands = {Create(), Set(),     Unset(), Update(), Synchronize(),
                      Enable(), Disable(), List(),  Get(),    Delete()};
  return command;
}

}  // namespace phonepki::cli
