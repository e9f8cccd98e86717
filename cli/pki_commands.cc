#include <chrono>
#include <fstream>
#include <iostream>

#include "cli/commands.h"
#include "phonepki/ca/v1/internal_ca.grpc.pb.h"
#include "phonepki/pki/v1/connector.grpc.pb.h"
#include "phonepki/pki/v1/plugin.grpc.pb.h"

namespace phonepki::cli {
namespace {

const Columns kCaFields = {{"Name", "name"},
                           {"CA Name", "display_name"},
                           {"Description", "description"},
                           {"Enabled", "enabled"},
                           {"State", "state"},
                           {"Subject", "certificate.subject"},
                           {"Issuer", "certificate.issuer"},
                           {"Key", "certificate.key_algorithm"},
                           {"Valid from", "certificate.not_before"},
                           {"Valid to", "certificate.not_after"},
                           {"SHA-256", "certificate.sha256_fingerprint"},
                           {"SHA-1", "certificate.sha1_fingerprint"}};
const Columns kPluginFields = {{"Name", "name"},
                               {"Plug-In", "display_name"},
                               {"Description", "description"},
                               {"Enabled", "enabled"},
                               {"Properties", "properties"},
                               {"Unknown properties", "unknown_properties"},
                               {"Issuing CAs", "issuing_cas"}};
const Columns kConnectorFields = {{"Name", "name"},
                                  {"Configuration", "display_name"},
                                  {"Description", "description"},
                                  {"Enabled", "enabled"},
                                  {"Plug-In", "plugin_display_name"},
                                  {"Issuing CA", "issuing_ca_display_name"},
                                  {"Trust anchor", "trust_anchor.subject"},
                                  {"Request parameters", "request_parameters"}};

template <typename Service>
std::unique_ptr<typename Service::Stub> Stub(const Session& session) {
  return Service::NewStub(Connect(session.connection));
}

template <typename Response, typename Items>
void PrintList(const Session& session, const Response& response, const Items& items, const Columns& columns) {
  if (session.json()) {
    std::cout << Json(response);
    return;
  }
  std::vector<const google::protobuf::Message*> rows;
  for (const auto& item : items) rows.push_back(&item);
  std::cout << Table(rows, columns, TerminalWidth());
}

}  // namespace

#define RUN(...) ->callback([&session, options ] __VA_ARGS__)

void AddCaCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("ca", "Internal CAs (Administration > PKI > Internal CA)")->require_subcommand(1);
  struct Options {
    std::string name, description, subject, key_algorithm = "rsa2048", valid_from, valid_to, parent, file,
                                            passphrase_file, out, format = "pem";
    int years = 0;
    bool enable = false, force = false, chain = false, past_2038 = false, legacy = false;
  };
  const auto options = std::make_shared<Options>();

  CLI::App* create =
      noun->add_subcommand("create", "New and Create CA: key pair and certificate of a new internal CA");
  create->add_option("name", options->name, "CA Name")->required();
  create->add_option("--description", options->description, "CA Description");
  create->add_option("--subject", options->subject,
                     "Subject/Issuer DN; without it only the record is made (New)");
  create
      ->add_option("--key-algorithm", options->key_algorithm,
                   "rsa2048, rsa3072, rsa4096, ecdsa-p256, ecdsa-p384")
      ->capture_default_str();
  create->add_option("--valid-from", options->valid_from, "Valid from; default now");
  create->add_option("--valid-to", options->valid_to, "Valid to; default one year");
  create->add_option("--valid-years", options->years, "Valid to, as years from now");
  create->add_option("--parent", options->parent, "Issuing CA of a subordinate");
  create->add_flag("--enable", options->enable, "Enable Internal CA");
  create->add_flag("--allow-past-2038", options->past_2038, "Lift the 2038 rule");
  create->add_flag("--allow-legacy", options->legacy, "Permit rsa1024");
  create->footer(
      "Example:\n  phonepki ca create 'Phones 2026' --subject 'C=US, ST=FL, O=Unify, CN=Phones 2026' "
      "--valid-years 10 --enable");
  create RUN({
    ca::v1::CreateInternalCaRequest request;
    request.set_display_name(options->name);
    request.set_description(options->description);
    request.set_enable(options->enable);
    request.set_request_id(NewRequestId());
    if (!options->subject.empty()) {
      auto* creation = request.mutable_creation();
      creation->set_subject(options->subject);
      creation->set_key_algorithm(options->key_algorithm);
      creation->set_allow_past_2038(options->past_2038);
      creation->set_allow_legacy(options->legacy);
      if (!options->parent.empty()) creation->set_parent(ResourceName("internalCas", options->parent));
      if (!options->valid_from.empty())
        creation->mutable_not_before()->set_seconds(ParseTime(options->valid_from));
      if (!options->valid_to.empty())
        creation->mutable_not_after()->set_seconds(ParseTime(options->valid_to));
      if (options->years > 0) {
        creation->mutable_not_after()->set_seconds(ParseTime("now") + options->years * 365LL * 86400);
      }
    }
    ca::v1::CreateInternalCaResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<ca::v1::InternalCaService>(session)->CreateInternalCa(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.internal_ca(), kCaFields);
  });

  CLI::App* import = noun->add_subcommand("import", "Import CA: certificate and key from a PKCS#12 file");
  import->add_option("file", options->file, "PKCS#12 file")->required();
  import->add_option("--name", options->name, "CA Name")->required();
  import->add_option("--description", options->description, "CA Description");
  import->add_option("--passphrase-file", options->passphrase_file,
                     "File with the pass phrase, - for standard input");
  import->add_flag("--enable", options->enable, "Enable Internal CA");
import RUN({ ca::v1::ImportInternalCaRequest request;
  request.set_display_name(options->name);
  request.set_description(options->description);
  request.set_pkcs12(ReadInput(options->file));
  std::string passphrase = options->passphrase_file.empty() ? "" : ReadInput(options->passphrase_file);
  while (!passphrase.empty() && passphrase.back() == '\n') passphrase.pop_back();
  request.set_passphrase(passphrase);
  request.set_enable(options->enable);
  ca::v1::ImportInternalCaResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<ca::v1::InternalCaService>(session)->ImportInternalCa(context, request, &response);
  });
  if (session.exit_code == kOk) session.Print(response, response.internal_ca(), kCaFields);
});

noun->add_subcommand("list", "All internal CAs") RUN({
  ca::v1::ListInternalCasRequest request;
  request.set_page_size(1000);
  ca::v1::ListInternalCasResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<ca::v1::InternalCaService>(session)->ListInternalCas(context, request, &response);
  });
  if (session.exit_code == kOk) {
    PrintList(session, response, response.internal_cas(),
              {{"NAME", "name"},
               {"CA NAME", "display_name"},
               {"ENABLED", "enabled"},
               {"STATE", "state"},
               {"KEY", "certificate.key_algorithm"},
               {"VALID TO", "certificate.not_after"},
               {"SUBJECT", "certificate.subject"}});
  }
});

#define SIMPLE_CA(verb, Method, help, extra)                                                              \
  {                                                                                                       \
    CLI::App* command = noun->add_subcommand(verb, help);                                                 \
    command->add_option("name", options->name, "CA")->required();                                         \
    extra;                                                                                                \
    command RUN({                                                                                         \
      ca::v1::Method##InternalCaRequest request;                                                          \
      request.set_name(ResourceName("internalCas", options->name));                                       \
      ca::v1::Method##InternalCaResponse response;                                                        \
      session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {                    \
        return Stub<ca::v1::InternalCaService>(session)->Method##InternalCa(context, request, &response); \
      });                                                                                                 \
      if (session.exit_code == kOk) session.Print(response, response.internal_ca(), kCaFields);           \
    });                                                                                                   \
  }
SIMPLE_CA("get", Get, "One internal CA", )
SIMPLE_CA("enable", Enable, "Tick Enable Internal CA", )
#undef SIMPLE_CA

CLI::App* disable = noun->add_subcommand("disable", "Untick Enable Internal CA");
disable->add_option("name", options->name, "CA")->required();
disable->add_flag("--force", options->force, "Although connectors issue from it");
disable RUN({
  ca::v1::DisableInternalCaRequest request;
  request.set_name(ResourceName("internalCas", options->name));
  request.set_force(options->force);
  ca::v1::DisableInternalCaResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<ca::v1::InternalCaService>(session)->DisableInternalCa(context, request, &response);
  });
  if (session.exit_code == kOk) session.Print(response, response.internal_ca(), kCaFields);
});

CLI::App* remove = noun->add_subcommand("delete", "Delete an internal CA that nothing depends on");
remove->add_option("name", options->name, "CA")->required();
remove RUN({
  ca::v1::DeleteInternalCaRequest request;
  request.set_name(ResourceName("internalCas", options->name));
  ca::v1::DeleteInternalCaResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<ca::v1::InternalCaService>(session)->DeleteInternalCa(context, request, &response);
  });
});

CLI::App* exporter = noun->add_subcommand("export", "The CA's certificate, never its key");
exporter->add_option("name", options->name, "CA")->required();
exporter->add_flag("--chain", options->chain, "With its parents, root last");
exporter->add_option("--format", options->format, "pem or der")
    ->capture_default_str()
    ->check(CLI::IsMember({"pem", "der"}));
exporter->add_option("--out", options->out, "File; default standard output");
exporter RUN({
  ca::v1::ExportInternalCaRequest request;
  request.set_name(ResourceName("internalCas", options->name));
  request.set_include_chain(options->chain);
  request.set_format(options->format == "der" ? ca::v1::ExportInternalCaRequest::DER
                                              : ca::v1::ExportInternalCaRequest::PEM);
  ca::v1::ExportInternalCaResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<ca::v1::InternalCaService>(session)->ExportInternalCa(context, request, &response);
  });
  if (session.exit_code != kOk) return;
  if (options->out.empty()) {
    std::cout << response.content();
  } else {
    std::ofstream(options->out, std::ios::binary) << response.content();
  }
});
}  // namespace phonepki::cli

void AddPluginCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("plugin", "Plug-in configurations (Administration > PKI > Plug-In Configuration)")
          ->require_subcommand(1);
  struct Options {
    std::string name, description, subject_template, name_source, key_algorithm;
    int validity_days = 0;
    std::vector<std::string> properties;
    bool synchronize = false, enable = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* create = noun->add_subcommand("create", "New plug-in configuration with its properties");
  create->add_option("name", options->name, "PKI Connector Plug-In")->required();
  create->add_option("--description", options->description, "Description");
  create->add_option("--template", options->subject_template, "internal.x509name.template, CN with '?'");
  create->add_option("--validity-days", options->validity_days, "internal.default.validity.days");
  create->add_option("--name-source", options->name_source,
                     "What '?' becomes: ip, fqdn, fqdn-then-ip, ip-then-fqdn");
  create->add_option("--key-algorithm", options->key_algorithm, "Key of issued certificates");
  create->add_option("--property", options->properties, "Any property, name=value");
  create->add_flag("--synchronize,--synchronise", options->synchronize, "Take over all enabled internal CAs");
  create->add_flag("--enable", options->enable, "Enable Plug-In");
  create->footer(
      "Example:\n  phonepki plugin create phones --template 'C=US, O=Unify, CN=?' --validity-days 1095 "
      "--synchronize --enable");
  create RUN({
    pki::v1::CreatePluginRequest request;
    request.set_display_name(options->name);
    request.set_description(options->description);
    request.set_synchronize(options->synchronize);
    request.set_enable(options->enable);
    request.set_request_id(NewRequestId());
    const auto add = [&](const std::string& name, const std::string& value) {
      if (value.empty()) return;
      auto* property = request.add_properties();
      property->set_name(name);
      property->set_value(value);
    };
    add("internal.x509name.template", options->subject_template);
    add("internal.default.validity.days",
        options->validity_days > 0 ? std::to_string(options->validity_days) : "");
    add("internal.x509name.source", options->name_source);
    add("internal.key.algorithm", options->key_algorithm);
    for (const std::string& property : options->properties) {
      const auto [name, value] = ParseProperty(property);
      add(name, value);
    }
    pki::v1::CreatePluginResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::PluginService>(session)->CreatePlugin(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.plugin(), kPluginFields);
  });

  CLI::App* set = noun->add_subcommand("set", "Set plug-in properties (name=value …)");
  set->add_option("name", options->name, "Plug-in")->required();
  set->add_option("property", options->properties, "name=value")->required();
  set RUN({
    pki::v1::SetPluginPropertiesRequest request;
    request.set_name(ResourceName("plugins", options->name));
    for (const std::string& text : options->properties) {
      const auto [name, value] = ParseProperty(text);
      auto* property = request.add_set();
      property->set_name(name);
      property->set_value(value);
    }
    pki::v1::SetPluginPropertiesResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::PluginService>(session)->SetPluginProperties(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.plugin(), kPluginFields);
  });

  noun->add_subcommand("list", "All plug-in configurations") RUN({
    pki::v1::ListPluginsRequest request;
    pki::v1::ListPluginsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::PluginService>(session)->ListPlugins(context, request, &response);
    });
    if (session.exit_code == kOk) {
      PrintList(session, response, response.plugins(),
                {{"NAME", "name"},
                 {"PLUG-IN", "display_name"},
                 {"ENABLED", "enabled"},
                 {"PROPERTIES", "properties"}});
    }
  });

#define SIMPLE(noun_pointer, collection, area, Service, verb, Method, object, fields, help) \
  {                                                                                         \
    CLI::App* command = noun_pointer->add_subcommand(verb, help);                           \
    command->add_option("name", options->name, "Name or number")->required();               \
    command RUN({                                                                           \
      area::v1::Method##Request request;                                                    \
      request.set_name(ResourceName(collection, options->name));                            \
      area::v1::Method##Response response;                                                  \
      session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {      \
        return Stub<area::v1::Service>(session)->Method(context, request, &response);       \
      });                                                                                   \
      if (session.exit_code == kOk) session.Print(response, response.object(), fields);     \
    });                                                                                     \
  }
  SIMPLE(noun, "plugins", pki, PluginService, "get", GetPlugin, plugin, kPluginFields,
         "One plug-in configuration")
  SIMPLE(noun, "plugins", pki, PluginService, "enable", EnablePlugin, plugin, kPluginFields,
         "Tick Enable Plug-In")
  SIMPLE(noun, "plugins", pki, PluginService, "disable", DisablePlugin, plugin, kPluginFields,
         "Untick Enable Plug-In")
  SIMPLE(noun, "plugins", pki, PluginService, "synchronize", SynchronizePlugin, plugin, kPluginFields,
         "Issuing CAs > Synchronize: take over all enabled internal CAs")
}

void AddConnectorCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("connector",
                         "Connector configurations (Administration > PKI > Connector Configuration)")
          ->require_subcommand(1);
  struct Options {
    std::string name, description, plugin, ca;
    bool anchor = false, enable = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* create = noun->add_subcommand("create", "New connector configuration");
  create->add_option("name", options->name, "Configuration Name")->required();
  create->add_option("--description", options->description, "Description");
  create->add_option("--plugin", options->plugin, "Plug-In Configuration");
  create->add_option("--issuing-ca", options->ca, "Issuing CA Name");
  create->add_flag("--trust-anchor", options->anchor, "Import the trust anchor (root) from the issuing CA");
  create->add_flag("--enable", options->enable, "Enable Connector");
  create->footer(
      "Example:\n  phonepki connector create phones --plugin phones --issuing-ca 'Phones 2026' "
      "--trust-anchor "
      "--enable");
  create RUN({
    pki::v1::CreateConnectorRequest request;
    request.set_display_name(options->name);
    request.set_description(options->description);
    if (!options->plugin.empty()) request.set_plugin(ResourceName("plugins", options->plugin));
    if (!options->ca.empty()) request.set_issuing_ca(ResourceName("internalCas", options->ca));
    request.set_import_trust_anchor(options->anchor);
    request.set_enable(options->enable);
    request.set_request_id(NewRequestId());
    pki::v1::CreateConnectorResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::ConnectorService>(session)->CreateConnector(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.connector(), kConnectorFields);
  });

  CLI::App* test = noun->add_subcommand("test", "Test: issue a certificate end to end and throw it away");
  test->add_option("name", options->name, "Connector")->required();
  test RUN({
    pki::v1::TestConnectorRequest request;
    request.set_name(ResourceName("connectors", options->name));
    pki::v1::TestConnectorResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::ConnectorService>(session)->TestConnector(context, request, &response);
    });
    if (session.exit_code != kOk) return;
    session.Print(response, response,
                  {{"Success", "success"},
                   {"Reason", "reason"},
                   {"Message", "message"},
                   {"Subject", "certificate.subject"},
                   {"Issuer", "certificate.issuer"}});
    if (!response.success()) session.exit_code = kNotAllSucceeded;
  });

  CLI::App* select_plugin = noun->add_subcommand("select-plugin", "Select Plug-In Configuration");
  select_plugin->add_option("name", options->name, "Connector")->required();
  select_plugin->add_option("plugin", options->plugin, "Plug-in")->required();
  CLI::App* select_ca = noun->add_subcommand("select-ca", "Select Issuing CA Name");
  select_ca->add_option("name", options->name, "Connector")->required();
  select_ca->add_option("ca", options->ca, "Internal CA")->required();
  for (CLI::App* select : {select_plugin, select_ca}) {
    select RUN({
      pki::v1::UpdateConnectorRequest request;
      request.set_name(ResourceName("connectors", options->name));
      if (!options->plugin.empty()) request.set_plugin(ResourceName("plugins", options->plugin));
      if (!options->ca.empty()) request.set_issuing_ca(ResourceName("internalCas", options->ca));
      pki::v1::UpdateConnectorResponse response;
      session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
        return Stub<pki::v1::ConnectorService>(session)->UpdateConnector(context, request, &response);
      });
      if (session.exit_code == kOk) session.Print(response, response.connector(), kConnectorFields);
    });
  }

  noun->add_subcommand("list", "All connector configurations") RUN({
    pki::v1::ListConnectorsRequest request;
    pki::v1::ListConnectorsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<pki::v1::ConnectorService>(session)->ListConnectors(context, request, &response);
    });
    if (session.exit_code == kOk) {
      PrintList(session, response, response.connectors(),
                {{"NAME", "name"},
                 {"CONFIGURATION", "display_name"},
                 {"ENABLED", "enabled"},
                 {"PLUG-IN", "plugin_display_name"},
                 {"ISSUING CA", "issuing_ca_display_name"},
                 {"TRUST ANCHOR", "trust_anchor.subject"}});
    }
  });
  SIMPLE(noun, "connectors", pki, ConnectorService, "get", GetConnector, connector, kConnectorFields,
         "One connector")
  SIMPLE(noun, "connectors", pki, ConnectorService, "import-trust-anchor", ImportTrustAnchor, connector,
         kConnectorFields, "Trust-Anchor > Import Certificate from the issuing CA")
  SIMPLE(noun, "connectors", pki, ConnectorService, "enable", EnableConnector, connector, kConnectorFields,
         "Tick Enable Connector")
  SIMPLE(noun, "connectors", pki, ConnectorService, "disable", DisableConnector, connector, kConnectorFields,
         "Untick Enable Connector")
#undef SIMPLE
}

}  // namespace phonepki::cli
