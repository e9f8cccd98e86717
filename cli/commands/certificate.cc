// Certificates that the internal CAs issued, or that came from files.
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "phonepki/ca/v1/certificate.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = ca::v1;
using Stub = v1::CertificateService::Stub;

void ShowCertificate(Session& session, const v1::Certificate& certificate) {
  Sheet sheet;
  sheet.Add("Name", certificate.name());
  sheet.Add("Subject", certificate.subject());
  sheet.Add("Serial", certificate.serial());
  sheet.Add("Kind", certificate.kind());
  const std::string state = Word(v1::Certificate::State_Name(certificate.state()));
  sheet.Add("State", state, StateColor(state));
  sheet.Add("Internal CA", certificate.internal_ca());
  sheet.Add("Device", certificate.device());
  sheet.Add("Job", certificate.job());
  sheet.Add("Valid from", TimeText(certificate.not_before(), session.zone(), true));
  sheet.Add("Valid to", TimeText(certificate.not_after(), session.zone(), true));
  sheet.Add("SHA-256", certificate.sha256_fingerprint());
  sheet.Add("Created", TimeText(certificate.create_time(), session.zone(), true));
  session.Print(sheet);
}

Command List() {
  struct Arguments {
    std::string ca, device, serial;
    std::int64_t limit = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List issued certificates, newest first; filters combine";
  command.examples = {"phonepki certificate list --ca MyNewCA --limit 20",
                      "phonepki certificate list --device 00:1A:E8:00:00:01"};
  command.options = {Value("--ca", "CA", "of one internal CA", &args->ca).Completing(Complete::kCa),
                     Value("--device", "MAC", "of one phone", &args->device).Completing(Complete::kDevice),
                     Value("--serial", "HEX", "with this serial number", &args->serial),
                     Value("--limit", "N", "at most so many; default all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListCertificatesRequest request;
    request.set_internal_ca(ResourceName("internalCas", args->ca));
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(args->device));
    request.set_serial(args->serial);
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListCertificates, request, args->limit));
    return session.Show(response, [&] {
      Table table({{"ID"},
                   {"KIND"},
                   {"STATE"},
                   {"DEVICE"},
                   {"VALID TO"},
                   {"SUBJECT", false, true},
                   {"SERIAL", false, true}});
      for (const v1::Certificate& certificate : response.certificates()) {
        table.Add({ShortName(certificate.name()), certificate.kind(),
                   StateCell(v1::Certificate::State_Name(certificate.state())),
                   ShortName(certificate.device()), TimeText(certificate.not_after(), session.zone()),
                   certificate.subject(), certificate.serial()});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  struct Arguments {
    std::string name, out;
    bool pem = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "get";
  command.aliases = {"show"};
  command.summary = "Show one certificate";
  command.examples = {"phonepki certificate get 42",
                      "phonepki certificate get 42 --pem | openssl x509 -noout -text"};
  command.options = {
      Positional("ID", "certificate: number or certificates/{id}", &args->name).Required(),
      Flag("--pem", "only the certificate itself", &args->pem),
      Value("--out", "FILE", "write the certificate to a file", &args->out).Completing(Complete::kFile)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::GetCertificateRequest request;
    request.set_name(ResourceName("certificates", args->name));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::GetCertificate, request));
    if (args->pem || !args->out.empty()) {
      RETURN_IF_ERROR(WriteOutput(session, args->out, response.certificate().pem(), false));
      return kExitOk;
    }
    return session.Show(response, [&] { ShowCertificate(session, response.certificate()); });
  };
  return command;
}

}  // namespace

Command CertificateCommand() {
  Command command;
  command.name = "certificate";
  command.aliases = {"cert"};
  command.summary = "Certificates: what was issued; import, activate and delete by hand";
  command.examples = {"phonepki certificate list --device 00:1A:E8:00:00:01"};
  command.commands = {List(), Get()};
  for (Command& verb : ManualDeploymentCommands()) command.commands.push_back(std::move(verb));
  return command;
}

}  // namespace phonepki::cli
