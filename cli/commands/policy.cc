// Whom phones believe: verification policies and OCSP responders (OpenScape guide 3.12.2.3).
#include <absl/strings/ascii.h>
#include <absl/strings/str_join.h>

#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/commands/device_selection.h"
#include "phonepki/deployment/v1/phone_settings.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = deployment::v1;
using Stub = v1::PhoneSettingsService::Stub;

std::string Levels(const v1::ListVerificationServicesResponse::Service::Variant& variant) {
  std::vector<std::string> words;
  for (const int level : variant.levels()) {
    words.push_back(Word(v1::VerificationLevel_Name(static_cast<v1::VerificationLevel>(level))));
  }
  return absl::StrJoin(words, ", ");
}

Command Services() {
  Command command;
  command.name = "services";
  command.summary = "List the services whose servers phones can verify, by family of phones";
  command.examples = {"phonepki policy services"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response,
                     session.Call(&Stub::ListVerificationServices, v1::ListVerificationServicesRequest()));
    return session.Show(response, [&] {
      Table table(
          {{"SERVICE"}, {"SETTING", false, true}, {"LEVELS"}, {"NEEDS CA IN"}, {"PHONES", false, true}});
      for (const auto& service : response.services()) {
        for (const auto& variant : service.variants()) {
          table.Add({service.name(), variant.title(), Levels(variant), Joined(variant.needs_ca()),
                     variant.supported_by_size() == 0 ? "all" : Joined(variant.supported_by())});
        }
      }
      session.Print(table);
    });
  };
  return command;
}

Command Set() {
  struct Arguments {
    DeviceSelection selection;
    std::string service, level, server_certificate, override_reason;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "set";
  command.summary = "Set an authentication policy: none, trusted or full";
  command.description =
      "Phones that are not known to hold a CA certificate of their server are refused trusted and full: they "
      "could not reach it any more. --override says why it shall be done nevertheless, and is recorded.";
  command.examples = {"phonepki policy set --service sip --level trusted --location Bremen --dry-run",
                      "phonepki policy set --service sip --level full --device 00:1A:E8:00:00:01 "
                      "--server-certificate sip.pem"};
  command.options = args->selection.Options();
  command.options.push_back(
      Value("--service", "SERVICE", "phonepki policy services lists them", &args->service).Required());
  command.options.push_back(Value("--level", "LEVEL", "what is checked", &args->level)
                                .Required()
                                .OneOf({"none", "trusted", "full"}));
  command.options.push_back(Value("--server-certificate", "FILE",
                                  "the server's certificate: phones must hold a CA that it chains to",
                                  &args->server_certificate)
                                .Completing(Complete::kFile));
  command.options.push_back(
      Value("--override", "REASON", "also phones that may lose their server by it", &args->override_reason));
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::SetVerificationPolicyRequest request;
    RETURN_IF_ERROR(args->selection.Apply(request));
    request.set_service(args->service);
    v1::VerificationLevel level = v1::VERIFICATION_LEVEL_UNSPECIFIED;
    v1::VerificationLevel_Parse(absl::AsciiStrToUpper(args->level), &level);
    request.set_level(level);
    request.set_override_reason(args->override_reason);
    if (!args->server_certificate.empty()) {
      ASSIGN_OR_RETURN(*request.mutable_server_certificates(),
                       ReadFile(args->server_certificate, session.environment(), "server-certificate"));
    }
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::SetVerificationPolicy, request));
    return ShowOutcomes(session, response);
  };
  return command;
}

Command Ocsp() {
  struct Arguments {
    DeviceSelection selection;
    std::vector<std::string> responders;
    bool off = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "ocsp";
  command.summary = "Set the OCSP responders of phones, or switch the check off";
  command.description = "A responder that a certificate names goes before these.";
  command.examples = {"phonepki policy ocsp --location Bremen --responder ocsp1.example.net",
                      "phonepki policy ocsp --device 00:1A:E8:00:00:01 --off"};
  command.options = args->selection.Options();
  command.options.push_back(
      Value("--responder", "ADDRESS", "host name or IP address; at most two", &args->responders));
  command.options.push_back(Flag("--off", "no OCSP check", &args->off));
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::SetOcspRespondersRequest request;
    RETURN_IF_ERROR(args->selection.Apply(request));
    request.set_check(!args->off);
    for (const std::string& responder : args->responders) request.add_responders(responder);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::SetOcspResponders, request));
    return ShowOutcomes(session, response);
  };
  return command;
}

}  // namespace

Command PolicyCommand() {
  Command command;
  command.name = "policy";
  command.summary = "Whom phones believe: authentication policies, OCSP responders";
  command.examples = {"phonepki policy set --service sip --level trusted --location Bremen"};
  command.commands = {Services(), Set(), Ocsp()};
  return command;
}

}  // namespace phonepki::cli
