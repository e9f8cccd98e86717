// Manual certificate deployment: chapters 3.12.2.1, 3.12.2.2 and 3.12.3.1 of the OpenScape guide.
#include <algorithm>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/commands/device_selection.h"
#include "phonepki/deployment/v1/manual_deployment.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = deployment::v1;
using Stub = v1::ManualDeploymentService::Stub;

struct Arguments {
  DeviceSelection selection;
  std::string type, file, passphrase_file, connector, fingerprint;
  bool activate = false, replace = false, share_key = false, imported = false, active = false;
};

std::vector<Option> SelectionOptions(Arguments& args) {
  std::vector<Option> options = args.selection.Options();
  options.insert(options.begin(),
                 Value("--type", "TYPE", "certificate type; phonepki deployment types lists them", &args.type)
                     .Required());
  return options;
}

template <typename Request>
absl::Status Select(const Arguments& args, Request& request) {
  request.set_certificate_type(CertificateType(args.type));
  return args.selection.Apply(request);
}

void ShowFile(Session& session, const v1::ImportCertificatesResponse& response) {
  if (session.format() != Format::kTable || response.certificates_size() == 0) return;
  Table table({{"SUBJECT", false, true}, {"ISSUER", false, true}, {"VALID TO"}, {"SHA-256", false, true}});
  for (const v1::FileCertificate& certificate : response.certificates()) {
    table.Add({certificate.subject(), certificate.issuer(), TimeText(certificate.not_after(), session.zone()),
               certificate.sha256_fingerprint()});
  }
  session.Print(table);
  session.environment().out << '\n';
}

Command Import() {
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "import";
  command.summary = "Import Certificate: for chosen phones, from a file or from a connector";
  command.description =
      "What is imported waits at the server until it is activated; --activate does both in one step. Types "
      "that are certificates with a key take PKCS#12, or PEM with both; types that are CA certificates take "
      "PEM, DER or PKCS#7, also with several CAs.";
  command.examples = {
      "phonepki certificate import --type wbm --device 00:1A:E8:00:00:01 --connector \"MyNewCA connector\" "
      "--activate",
      "phonepki certificate import --type spe-ca --location Bremen --file sip-cas.pem --activate",
      "phonepki certificate import --type spe --device 00:1A:E8:00:00:01 --file phone.p12 --passphrase-file "
      "p"};
  command.options = SelectionOptions(*args);
  command.options.push_back(
      Value("--file", "FILE", "certificate file, at most 1 MiB", &args->file).Completing(Complete::kFile));
  command.options.push_back(Value("--passphrase-file", "FILE",
                                  "its first line is the pass phrase of the file; - is standard input",
                                  &args->passphrase_file)
                                .Completing(Complete::kFile));
  command.options.push_back(Value("--connector", "CONNECTOR", "connector to import from", &args->connector)
                                .Completing(Complete::kConnector));
  command.options.push_back(Flag("--activate", "activate on the phones, too (1-step)", &args->activate));
  command.options.push_back(
      Flag("--replace", "CA certificates: in place of all that the phone has there", &args->replace));
  command.options.push_back(
      Flag("--share-key", "one private key on several phones, knowingly", &args->share_key));
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    if (args->file.empty() == args->connector.empty()) {
      return base::InvalidField("file", "SOURCE", "give either --file or --connector");
    }
    v1::ImportCertificatesRequest request;
    RETURN_IF_ERROR(Select(*args, request));
    request.set_activate(args->activate);
    request.set_replace(args->replace);
    request.set_share_key(args->share_key);
    if (!args->connector.empty()) request.set_connector(ResourceName("connectors", args->connector));
    if (!args->file.empty()) {
      ASSIGN_OR_RETURN(*request.mutable_file()->mutable_content(),
                       ReadFile(args->file, session.environment(), "file"));
    }
    if (!args->passphrase_file.empty()) {
      ASSIGN_OR_RETURN(*request.mutable_file()->mutable_passphrase(),
                       ReadPassphrase(session, args->passphrase_file));
    }
    // A thousand RSA keys take most of a minute.
    session.set_timeout(std::max(session.timeout(), absl::Minutes(5)));
    absl::StatusOr<v1::ImportCertificatesResponse> response =
        session.Call(&Stub::ImportCertificates, request);
    if (base::ReasonOf(response.status()) == "PASSPHRASE_NEEDED" && session.environment().in_is_terminal) {
      request.mutable_file()->set_passphrase(AskPassphrase(session.environment()));
      response = session.Call(&Stub::ImportCertificates, request);
    }
    RETURN_IF_ERROR(response.status());
    ShowFile(session, *response);
    return ShowOutcomes(session, *response);
  };
  return command;
}

Command Activate() {
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "activate";
  command.summary = "Activate Certificate: what is imported goes to the phones (second step)";
  command.examples = {"phonepki certificate activate --type wbm --device 00:1A:E8:00:00:01",
                      "phonepki certificate activate --type spe-ca --location Bremen --dry-run"};
  command.options = SelectionOptions(*args);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ActivateCertificatesRequest request;
    RETURN_IF_ERROR(Select(*args, request));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ActivateCertificates, request));
    return ShowOutcomes(session, response);
  };
  return command;
}

Command Delete() {
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "delete";
  command.aliases = {"rm"};
  command.summary = "Delete Certificate: the imported one from the server, or the active one from the phones";
  command.examples = {
      "phonepki certificate delete --type wbm --device 00:1A:E8:00:00:01 --imported",
      "phonepki certificate delete --type spe-ca --location Bremen --active --fingerprint 9f:…"};
  command.options = SelectionOptions(*args);
  command.options.push_back(Flag("--imported", "what the server holds for the phones", &args->imported));
  command.options.push_back(Flag("--active", "what the phones have", &args->active));
  command.options.push_back(Value("--fingerprint", "SHA256", "only this CA certificate", &args->fingerprint));
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    if (args->imported == args->active) {
      return base::InvalidField("which", "WHICH", "give either --imported or --active");
    }
    v1::DeleteCertificatesRequest request;
    RETURN_IF_ERROR(Select(*args, request));
    request.set_which(args->imported ? v1::DeleteCertificatesRequest::IMPORTED
                                     : v1::DeleteCertificatesRequest::ACTIVE);
    request.set_sha256_fingerprint(args->fingerprint);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DeleteCertificates, request));
    return ShowOutcomes(session, response);
  };
  return command;
}

}  // namespace

std::vector<Command> ManualDeploymentCommands() {
  return {Import(), Activate(), Delete()};
}

}  // namespace phonepki::cli
