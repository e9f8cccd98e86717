// Connector configurations: chapter 3.12.1.3 of the OpenScape guide.
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/pki/v1/connector.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = pki::v1;
using Stub = v1::ConnectorService::Stub;

constexpr Noun kNoun = {"connector", "connectors", Complete::kConnector,
                        "connector configuration: name, id or connectors/{id}"};

Option NameArgument(std::string* name) {
  return Positional("NAME", kNoun.argument, name).Required().Completing(kNoun.complete);
}

std::string Named(const std::string& display_name, const std::string& name) {
  return name.empty() ? "" : absl::StrCat(display_name, " (", name, ")");
}

void ShowConnector(Session& session, const v1::Connector& connector) {
  Sheet sheet;
  sheet.Add("Name", connector.name());
  sheet.Add("Configuration Name", connector.display_name());
  sheet.Add("Description", connector.description());
  sheet.Add("Enabled", connector.enabled() ? "yes" : "no", connector.enabled() ? Color::kGreen : Color::kDim);
  sheet.Add("Plug-In Configuration", Named(connector.plugin_display_name(), connector.plugin()));
  sheet.Add("Issuing CA Name", Named(connector.issuing_ca_display_name(), connector.issuing_ca()));
  sheet.Add("Trust anchor", connector.has_trust_anchor() ? connector.trust_anchor().subject() : "none");
  sheet.Add("  valid to", TimeText(connector.trust_anchor().not_after(), session.zone(), true));
  sheet.Add("  SHA-256", connector.trust_anchor().sha256_fingerprint());
  for (const common::v1::Property& property : connector.request_parameters()) {
    sheet.Add("Request parameter", absl::StrCat(property.name(), "=", property.value()));
  }
  sheet.Add("Created", TimeText(connector.create_time(), session.zone(), true));
  session.Print(sheet);
}

Command Create() {
  struct Arguments : CreateOptions {
    std::string name, description, plugin, issuing_ca;
    std::vector<std::string> parameters;
    bool trust_anchor = false, enable = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary = "New connector configuration: plug-in, issuing CA, trust anchor";
  command.description =
      "--trust-anchor imports the root of the issuing CA's chain (tab Trust-Anchor, Import Certificate, "
      "PKI); --enable "
      "is the tick box \"Enable Connector\". What is missing can be selected later.";
  command.examples = {
      "phonepki connector create WBM --plugin Phones --issuing-ca MyNewCA --trust-anchor --enable",
      "phonepki connector create Short --plugin Phones --issuing-ca MyNewCA \\",
      "    --request-parameter internal.default.validity.days=90"};
  command.options = {
      Positional("NAME", "Configuration Name", &args->name).Required(),
      Value("--description", "TEXT", "Description", &args->description),
      Value("--plugin,--plug-in", "PLUGIN", "Plug-In Configuration", &args->plugin)
          .Completing(Complete::kPlugin),
      Value("--issuing-ca", "CA", "Issuing CA Name, from the plug-in's synchronised list", &args->issuing_ca)
          .Completing(Complete::kCa),
      Value("--request-parameter", "NAME=VALUE", "overrides a property of the plug-in", &args->parameters),
      Flag("--trust-anchor,--import-trust-anchor", "import the trust anchor from the issuing CA",
           &args->trust_anchor),
      Flag("--enable", "Enable Connector", &args->enable)};
  args->AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreateConnectorRequest request;
    request.set_display_name(args->name);
    request.set_description(args->description);
    request.set_plugin(ResourceName("plugins", args->plugin));
    request.set_issuing_ca(ResourceName("internalCas", args->issuing_ca));
    request.set_import_trust_anchor(args->trust_anchor);
    request.set_enable(args->enable);
    RETURN_IF_ERROR(
        ParseProperties(args->parameters, "request-parameter", request.mutable_request_parameters()));
    args->Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreateConnector, request));
    return session.Show(response, [&] {
      if (args->dry_run) session.Note("dry run: nothing was changed");
      ShowConnector(session, response.connector());
    });
  };
  return command;
}

absl::StatusOr<ExitCode> SendUpdate(Session& session, const v1::UpdateConnectorRequest& request) {
  ASSIGN_OR_RETURN(auto response, session.Call(&Stub::UpdateConnector, request));
  return session.Show(response, [&] { ShowConnector(session, response.connector()); });
}

Command Select(const std::string& verb, const std::string& summary, const std::string& value_name,
               const std::string& collection, Complete complete, const std::string& example,
               void (*set)(v1::UpdateConnectorRequest& request, const std::string& name)) {
  struct Arguments {
    std::string name, value;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = verb;
  command.summary = summary;
  command.examples = {example};
  command.options = {NameArgument(&args->name),
                     Positional(value_name, "what to select", &args->value).Required().Completing(complete)};
  command.run = [=](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdateConnectorRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    set(request, ResourceName(collection, args->value));
    return SendUpdate(session, request);
  };
  return command;
}

Command Update() {
  struct Arguments {
    std::string name;
    std::optional<std::string> new_name, description, plugin, issuing_ca;
    std::vector<std::string> set, unset;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "update";
  command.summary = "Change a connector configuration or its request parameters";
  command.description = "Selecting another plug-in clears issuing CA and trust anchor.";
  command.examples = {"phonepki connector update WBM --set internal.default.validity.days=365",
                      "phonepki connector update WBM --plugin Phones --issuing-ca MyNewCA"};
  command.options = {
      NameArgument(&args->name),
      Value("--name", "NAME", "new Configuration Name", &args->new_name),
      Value("--description", "TEXT", "new description", &args->description),
      Value("--plugin,--plug-in", "PLUGIN", "Plug-In Configuration", &args->plugin)
          .Completing(Complete::kPlugin),
      Value("--issuing-ca", "CA", "Issuing CA Name", &args->issuing_ca).Completing(Complete::kCa),
      Value("--set", "NAME=VALUE", "set a request parameter", &args->set),
      Value("--unset", "NAME", "remove a request parameter", &args->unset)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdateConnectorRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    if (args->new_name) request.set_display_name(*args->new_name);
    if (args->description) request.set_description(*args->description);
    if (args->plugin) request.set_plugin(ResourceName("plugins", *args->plugin));
    if (args->issuing_ca) request.set_issuing_ca(ResourceName("internalCas", *args->issuing_ca));
    RETURN_IF_ERROR(ParseProperties(args->set, "set", request.mutable_set_request_parameters()));
    for (const std::string& name : args->unset) request.add_remove_request_parameters(name);
    return SendUpdate(session, request);
  };
  return command;
}

Command ImportTrustAnchor() {
  return NamedCommand<Stub, v1::ImportTrustAnchorRequest, v1::ImportTrustAnchorResponse>(
      kNoun, "import-trust-anchor",
      "Import Certificate (tab Trust-Anchor): the root of the issuing CA's chain",
      {"phonepki connector import-trust-anchor WBM"}, &Stub::ImportTrustAnchor,
      [](Session& session, const auto& response, const std::string&) {
        ShowConnector(session, response.connector());
      });
}

Command Test() {
  auto name = std::make_shared<std::string>();
  Command command;
  command.name = "test";
  command.summary = "Test: issue a certificate end to end and throw it away";
  command.description = "Works before the connector is enabled. Exit code 7 when the test fails.";
  command.examples = {"phonepki connector test WBM"};
  command.options = {NameArgument(name.get())};
  command.run = [name](Session& session) -> absl::StatusOr<ExitCode> {
    v1::TestConnectorRequest request;
    request.set_name(ResourceName(kNoun.collection, *name));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::TestConnector, request));
    RETURN_IF_ERROR(
        session
            .Show(response,
                  [&] {
                    Sheet sheet;
                    sheet.Add("Test", response.success() ? "successful" : "failed",
                              response.success() ? Color::kGreen : Color::kRed);
                    sheet.Add("Reason", response.reason());
                    sheet.Add("Message", response.message());
                    sheet.Add("Took", absl::StrFormat(
                                          "%.1f ms", static_cast<double>(response.duration_micros()) / 1000));
                    AddCertificate(sheet, "", response.certificate(), session.zone());
                    session.Print(sheet);
                  })
            .status());
    return response.success() ? kExitOk : kExitNotAll;
  };
  return command;
}

Command Enable() {
  return NamedCommand<Stub, v1::EnableConnectorRequest, v1::EnableConnectorResponse>(
      kNoun, "enable", "Enable Connector: the PKI is complete and deployments can use it",
      {"phonepki connector enable WBM"}, &Stub::EnableConnector,
      [](Session& session, const auto& response, const std::string&) {
        Say(session, kNoun, response.connector().display_name(), "enabled");
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
  command.summary = "Disable a connector configuration";
  command.examples = {"phonepki connector disable WBM", "phonepki connector disable WBM --force"};
  command.options = {NameArgument(&args->name),
                     Flag("--force", "even though active deployments use it", &args->force)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::DisableConnectorRequest request;
    request.set_name(ResourceName(kNoun.collection, args->name));
    request.set_force(args->force);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DisableConnector, request));
    return session.Show(response, [&] {
      Say(session, kNoun, response.connector().display_name(), "disabled");
      if (response.affected_deployments_size() > 0) {
        session.Note(
            absl::StrCat("these deployments cannot issue now: ", Joined(response.affected_deployments())));
      }
    });
  };
  return command;
}

Command List() {
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List the connector configurations";
  command.examples = {"phonepki connector list"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListConnectors, v1::ListConnectorsRequest()));
    return session.Show(response, [&] {
      Table table(
          {{"ID"}, {"CONNECTOR"}, {"ENABLED"}, {"PLUG-IN"}, {"ISSUING CA"}, {"TRUST ANCHOR", false, true}});
      for (const v1::Connector& connector : response.connectors()) {
        table.Add({ShortName(connector.name()), connector.display_name(), EnabledCell(connector.enabled()),
                   connector.plugin_display_name(), connector.issuing_ca_display_name(),
                   connector.trust_anchor().subject()});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  return NamedCommand<Stub, v1::GetConnectorRequest, v1::GetConnectorResponse>(
      kNoun, "get", "Show one connector configuration", {"phonepki connector get WBM"}, &Stub::GetConnector,
      [](Session& session, const auto& response, const std::string&) {
        ShowConnector(session, response.connector());
      });
}

Command Delete() {
  return NamedCommand<Stub, v1::DeleteConnectorRequest, v1::DeleteConnectorResponse>(
      kNoun, "delete", "Delete a connector configuration that no deployment names",
      {"phonepki connector delete WBM"}, &Stub::DeleteConnector,
      [](Session& session, const auto&, const std::string& typed) { Say(session, kNoun, typed, "deleted"); });
}

}  // namespace

Command ConnectorCommand() {
  Command command;
  command.name = "connector";
  command.aliases = {"connector-configuration"};
  command.summary = "Connector configurations: plug-in, issuing CA and trust anchor together";
  command.description = "A connector is what deployments issue from. Step three of a new PKI.";
  command.examples = {
      "phonepki connector create WBM --plugin Phones --issuing-ca MyNewCA --trust-anchor --enable",
      "phonepki connector test WBM"};
  command.commands = {
      Create(),
      Select("select-plugin", "Select Plug-In Configuration; clears issuing CA and trust anchor", "PLUGIN",
             "plugins", Complete::kPlugin, "phonepki connector select-plugin WBM Phones",
             [](v1::UpdateConnectorRequest& request, const std::string& name) { request.set_plugin(name); }),
      Select(
          "select-ca", "Select Issuing CA Name from the plug-in's synchronised list", "CA", "internalCas",
          Complete::kCa, "phonepki connector select-ca WBM MyNewCA",
          [](v1::UpdateConnectorRequest& request, const std::string& name) { request.set_issuing_ca(name); }),
      ImportTrustAnchor(),
      Test(),
      Enable(),
      Disable(),
      List(),
      Get(),
      Update(),
      Delete()};
  return command;
}

}  // namespace phonepki::cli
