// The whole tree, and what the shell completion asks the server for.
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/ca/v1/internal_ca.grpc.pb.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"
#include "phonepki/device/v1/device.grpc.pb.h"
#include "phonepki/device/v1/location.grpc.pb.h"
#include "phonepki/pki/v1/connector.grpc.pb.h"
#include "phonepki/pki/v1/plugin.grpc.pb.h"

namespace phonepki::cli {
namespace {

constexpr std::int64_t kMostNames = 500;

template <typename Items>
std::vector<Candidate> DisplayNames(const Items& items) {
  std::vector<Candidate> names;
  for (const auto& item : items) names.push_back({item.display_name(), item.description()});
  return names;
}

}  // namespace

std::vector<Option> GlobalOptionList(GlobalOptions* options) {
  return {
      Value("-o,--output", "FORMAT", "how results are shown", &options->output)
          .OneOf({"table", "json", "name"}),
      Value("--server", "HOST:PORT", "the server; default 127.0.0.1:9443 [PHONEPKI_SERVER]",
            &options->server),
      Value("--context", "FILE",
            "YAML or JSON with server, ca_file, cert_file, key_file [PHONEPKI_CONTEXT]; default "
            "~/.config/phonepki/context.json, then /var/lib/phonepki/credentials/admin.context.json",
            &options->context)
          .Completing(Complete::kFile),
      Value("--ca-file", "FILE", "CA of the server's certificate, PEM [PHONEPKI_CA_FILE]", &options->ca_file)
          .Completing(Complete::kFile),
      Value("--cert-file", "FILE", "client certificate, PEM [PHONEPKI_CERT_FILE]", &options->cert_file)
          .Completing(Complete::kFile),
      Value("--key-file", "FILE", "its private key, PEM [PHONEPKI_KEY_FILE]", &options->key_file)
          .Completing(Complete::kFile),
      Value("--server-name", "NAME",
            "name in the server's certificate, when not that in --server [PHONEPKI_SERVER_NAME]",
            &options->server_name),
      Value("--timeout", "DURATION", "longest wait for one answer; default 30s", &options->timeout),
      Flag("-w,--wide", "do not cut columns to the width of the terminal", &options->wide),
  };
}

Command CompletionCommand() {
  auto shell = std::make_shared<std::string>();
  Command command;
  command.name = "completion";
  command.summary = "Print the completion script for a shell";
  command.description =
      "It completes commands, options, their values and the names of CAs, locations and the like.";
  command.examples = {"source <(phonepki completion bash)",
                      "phonepki completion bash > /etc/bash_completion.d/phonepki",
                      "phonepki completion zsh > \"${fpath[1]}/_phonepki\"",
                      "phonepki completion fish > ~/.config/fish/completions/phonepki.fish"};
  command.options = {Positional("SHELL", "the shell", shell.get()).Required().OneOf({"bash", "zsh", "fish"})};
  command.offline = true;
  command.run = [shell](Session& session) -> absl::StatusOr<ExitCode> {
    session.environment().out << CompletionScript(*shell);
    return kExitOk;
  };
  return command;
}

Command RootCommand() {
  Command root;
  root.name = "phonepki";
  root.summary = "Internal PKI and mass provisioning of desk phones, from the command line";
  root.examples = {
      "phonepki ca create MyNewCA --subject 'C=US, ST=FL, O=Unify, OU=Sales, CN=MyNewCA' --valid-years 10 "
      "--enable",
      "phonepki plugin create Phones --template 'C=US, ST=FL, O=Unify, OU=Sales, CN=?' --synchronize "
      "--enable",
      "phonepki connector create WBM --plugin Phones --issuing-ca MyNewCA --trust-anchor --enable",
      "phonepki connector test WBM",
      "phonepki device import phones.csv",
      "phonepki location create Bremen --cidr 10.1.0.0/16",
      "phonepki deployment create --location Bremen --connector WBM --deploy-date now --activate",
      "phonepki rollout watch"};
  root.commands = {CaCommand(),          PluginCommand(),     ConnectorCommand(),  LocationCommand(),
                   DeviceCommand(),      DeploymentCommand(), RolloutCommand(),    JobCommand(),
                   CertificateCommand(), PolicyCommand(),     SecureModeCommand(), StatusCommand(),
                   CompletionCommand()};
  return root;
}

std::vector<Candidate> ResourceNames(Session& session, Complete kind) {
  std::vector<Candidate> names;
  switch (kind) {
    case Complete::kCa:
      if (auto r = session.List(&ca::v1::InternalCaService::Stub::ListInternalCas,
                                ca::v1::ListInternalCasRequest(), kMostNames);
          r.ok()) {
        names = DisplayNames(r->internal_cas());
      }
      break;
    case Complete::kPlugin:
      if (auto r = session.List(&pki::v1::PluginService::Stub::ListPlugins, pki::v1::ListPluginsRequest(),
                                kMostNames);
          r.ok()) {
        names = DisplayNames(r->plugins());
      }
      break;
    case Complete::kConnector:
      if (auto r = session.List(&pki::v1::ConnectorService::Stub::ListConnectors,
                                pki::v1::ListConnectorsRequest(), kMostNames);
          r.ok()) {
        names = DisplayNames(r->connectors());
      }
      break;
    case Complete::kLocation:
      if (auto r = session.List(&device::v1::LocationService::Stub::ListLocations,
                                device::v1::ListLocationsRequest(), kMostNames);
          r.ok()) {
        names = DisplayNames(r->locations());
      }
      break;
    case Complete::kDevice:
      if (auto r = session.List(&device::v1::DeviceService::Stub::ListDevices,
                                device::v1::ListDevicesRequest(), kMostNames);
          r.ok()) {
        for (const device::v1::Device& device : r->devices())
          names.push_back({device.mac(), device.device_type()});
      }
      break;
    case Complete::kDeployment:
      if (auto r = session.List(&deployment::v1::DeploymentService::Stub::ListDeployments,
                                deployment::v1::ListDeploymentsRequest(), kMostNames);
          r.ok()) {
        for (const deployment::v1::Deployment& deployment : r->deployments()) {
          names.push_back({ShortName(deployment.name()),
                           absl::StrCat(deployment.location_display_name(), ", ",
                                        Word(deployment::v1::Deployment::State_Name(deployment.state())))});
        }
      }
      break;
    case Complete::kNothing:
    case Complete::kFile:
      break;
  }
  for (Candidate& name : names) {
    name.text = Printable(name.text);
    name.description = Printable(name.description);
  }
  return names;
}

}  // namespace phonepki::cli
