// A whole location into secure mode, in one command.
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/commands/deployment.h"
#include "phonepki/security/v1/security.grpc.pb.h"

namespace phonepki::cli {
namespace {

using security::v1::SecureCredential;
using Stub = security::v1::SecurityService::Stub;

// Both credentials must be there. Those that are missing come from this connector; phones get their
// certificates from it and no other.
absl::Status ProvideCredentials(Session& session, const std::string& connector) {
  ASSIGN_OR_RETURN(auto response,
                   session.List(&Stub::ListCredentials, security::v1::ListCredentialsRequest()));
  for (SecureCredential::Kind kind : {SecureCredential::SERVER, SecureCredential::CLIENT}) {
    const SecureCredential* active = nullptr;
    for (const SecureCredential& credential : response.credentials()) {
      if (credential.kind() == kind && credential.active()) active = &credential;
    }
    if (active == nullptr) {
      security::v1::CreateCredentialRequest request;
      request.set_kind(kind);
      request.set_connector(connector);
      request.set_request_id(NewRequestId());
      ASSIGN_OR_RETURN(auto created, session.Call(&Stub::CreateCredential, request));
      session.Note(absl::StrCat(Word(SecureCredential::Kind_Name(kind)), " credential ",
                                ShortName(created.credential().name()), " created"));
    } else if (kind == SecureCredential::CLIENT && active->connector() != connector &&
               absl::StrCat("connectors/", active->connector_display_name()) != connector) {
      return base::InvalidField(
          "connector", "CONNECTOR",
          absl::StrCat("the active client credential is of connector ", active->connector_display_name(),
                       "; create and activate another one first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Command EnrolCommand() {
  struct Arguments : CreateOptions {
    std::string location, pin_mode = "none", connector;
    WaveOptions waves;
    bool watch = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "enrol";
  command.summary = "Bring all phones of a location into secure mode, in waves";
  command.description =
      "An automatic deployment of certificate type secure-mode that starts at once: phonepki deployment "
      "create with "
      "the usual choices. Phones that join the location later are enrolled as well. The next wave starts "
      "when every "
      "phone of the last one that is not off is through; with a PIN that is when somebody has typed it at "
      "each.";
  command.examples = {"phonepki secure-mode enrol --location Bremen --wave 50 --watch",
                      "phonepki secure-mode enrol --location Bremen --wave 50 --dry-run",
                      "phonepki secure-mode enrol --location Bremen --wave 10 --pin-mode individual"};
  command.options = {
      Value("--location", "LOCATION", "Location", &args->location).Required().Completing(Complete::kLocation),
      Value("--pin-mode", "MODE", "none, default or individual; default none", &args->pin_mode)
          .OneOf({"none", "default", "individual"}),
      Value("--connector", "CONNECTOR",
            "where the server and client credentials come from that do not exist yet", &args->connector)
          .Completing(Complete::kConnector),
      Flag("--watch", "then watch it to its end", &args->watch)};
  args->waves.AddTo(command.options);
  args->AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    deployment::v1::CreateDeploymentRequest request;
    request.set_location(ResourceName("locations", args->location));
    request.set_certificate_type("secure-mode");
    ASSIGN_OR_RETURN(deployment::v1::PinMode mode, ParsePinMode(args->pin_mode));
    request.set_pin_mode(mode);
    request.set_activate(true);
    args->waves.Apply(request);
    args->Apply(request);
    if (!args->connector.empty() && !args->dry_run) {
      RETURN_IF_ERROR(ProvideCredentials(session, ResourceName("connectors", args->connector)));
    }
    return CreateAndWatch(session, request, args->watch);
  };
  return command;
}

}  // namespace phonepki::cli
