// Automatic certificate deployment: chapter 3.12.3.2 of the OpenScape guide.
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/commands/deployment.h"
#include "cli/progress.h"
#include "cli/rollout_watch.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = deployment::v1;
using Stub = v1::DeploymentService::Stub;

constexpr Noun kNoun = {"deployment", "deployments", Complete::kDeployment,
                        "deployment: number or deployments/{id}"};

Option IdArgument(std::string* name) {
  return Positional("ID", kNoun.argument, name).Required().Completing(kNoun.complete);
}

void ShowDeployment(Session& session, const v1::Deployment& deployment) {
  Sheet sheet;
  sheet.Add("Name", deployment.name());
  sheet.Add("Location", absl::StrCat(deployment.location_display_name(), " (", deployment.location(), ")"));
  sheet.Add("Certificate Type", deployment.certificate_type());
  sheet.Add("Connector",
            absl::StrCat(deployment.connector_display_name(), " (", deployment.connector(), ")"));
  if (deployment.pin_mode() != v1::PIN_MODE_UNSPECIFIED) {
    sheet.Add("PIN Mode", Word(v1::PinMode_Name(deployment.pin_mode())));
  }
  sheet.Add("Deploy Date", TimeText(deployment.deploy_date(), session.zone(), true));
  sheet.Add("Activated", deployment.active() ? "yes" : "no",
            deployment.active() ? Color::kGreen : Color::kDim);
  const std::string state = Word(v1::Deployment::State_Name(deployment.state()));
  sheet.Add("State", state, StateColor(state));
  sheet.Add("Job deadline", absl::FormatDuration(absl::Seconds(deployment.job_deadline_seconds())));
  sheet.Add("Created", TimeText(deployment.create_time(), session.zone(), true));
  sheet.Add("Started", TimeText(deployment.start_time(), session.zone(), true));
  const v1::Progress& progress = deployment.progress();
  if (deployment.wave_size() > 0) {
    sheet.Add("Waves", absl::StrCat(progress.wave(), " of ", progress.waves(), ", each of up to ",
                                    deployment.wave_size(), " phones; ", progress.phones_to_come(),
                                    " phones to come"));
    sheet.Add("Failure limit", absl::StrCat(deployment.wave_failure_limit_percent(), " % of a wave"));
  }
  if (deployment.has_halt_time()) {
    sheet.Add("Halted",
              absl::StrCat(TimeText(deployment.halt_time(), session.zone(), true), ": ",
                           deployment.halt_reason(), ", ", deployment.halt_reason_text()),
              Color::kRed);
    sheet.Add("To go on",
              absl::StrCat("phonepki deployment resume ", ShortName(deployment.name()), " [--retry-failed]"));
  }
  if (progress.total() > 0) {
    sheet.Add("Jobs", absl::StrCat(progress.total(), " (scheduled ", progress.scheduled(), ", waiting ",
                                   progress.waiting(), ", running ", progress.running(), ", busy ",
                                   progress.deferred_busy(), ", offline ", progress.deferred_offline(),
                                   ", verifying ", progress.verifying(), ")"));
    sheet.Add("Finished", absl::StrCat("succeeded ", progress.succeeded(), ", failed ", progress.failed(),
                                       ", timed out ", progress.timed_out(), ", cancelled ",
                                       progress.cancelled(), ", superseded ", progress.superseded()));
  }
  session.Print(sheet);
}

Command Create() {
  struct Arguments : CreateOptions {
    std::string location, type = "wbm", connector, pin_mode, deploy_date, deadline;
    bool activate = false, watch = false;
    WaveOptions waves;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "create";
  command.summary =
      "New automatic certificate deployment: location, certificate type, connector, deploy date";
  command.description =
      "All phones of the location get new certificates at the deploy date, and phones that join it later as "
      "well. "
      "--activate is the tick box \"Activate Certificate / PKI Configuration\". An older active deployment "
      "of the same "
      "location and type is superseded.";
  command.examples = {
      "phonepki deployment create --location Bremen --type wbm --connector WBM --deploy-date now --activate "
      "--watch",
      "phonepki deployment create --location Bremen --connector WBM --deploy-date '2026-12-05 02:00' "
      "--activate",
      "phonepki deployment create --location Bremen --type secure-mode --pin-mode none --activate"};
  command.options = {
      Value("--location", "LOCATION", "Location", &args->location).Required().Completing(Complete::kLocation),
      Value("--type", "TYPE", "Certificate Type, one of `phonepki deployment types`; default wbm",
            &args->type),
      Value("--connector,--pki", "CONNECTOR",
            "Import from PKI: the connector to issue from; of secure-mode the client credential's",
            &args->connector)
          .Completing(Complete::kConnector),
      Value("--pin-mode", "MODE", "secure-mode only: none, default or individual", &args->pin_mode),
      Value("--deploy-date", "TIME", "Deploy Date: now (default), +2h, '2026-12-01 02:00' or RFC 3339",
            &args->deploy_date),
      Value("--job-deadline", "DURATION", "how long a phone may take, such as 8h or 3d; default the server's",
            &args->deadline),
      Flag("--activate", "Activate Certificate / PKI Configuration", &args->activate),
      Flag("--watch", "then watch it to its end", &args->watch)};
  args->waves.AddTo(command.options);
  args->AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::CreateDeploymentRequest request;
    request.set_location(ResourceName("locations", args->location));
    request.set_certificate_type(CertificateType(args->type));
    if (!args->connector.empty()) request.set_connector(ResourceName("connectors", args->connector));
    ASSIGN_OR_RETURN(v1::PinMode mode, ParsePinMode(args->pin_mode));
    request.set_pin_mode(mode);
    request.set_activate(args->activate);
    // "now" stays unset: the server's clock decides, not ours.
    if (!args->deploy_date.empty() && !absl::EqualsIgnoreCase(args->deploy_date, "now")) {
      ASSIGN_OR_RETURN(absl::Time time,
                       ParseTime(args->deploy_date, session.now(), session.zone(), "deploy-date"));
      *request.mutable_deploy_date() = ToProto(time);
    }
    if (!args->deadline.empty()) {
      ASSIGN_OR_RETURN(absl::Duration deadline, ParseDuration(args->deadline, "job-deadline"));
      request.set_job_deadline_seconds(absl::ToInt64Seconds(deadline));
    }
    if (args->watch && !args->activate) {
      return base::InvalidField("watch", "NOT_ACTIVATED", "--watch needs --activate");
    }
    args->waves.Apply(request);
    args->Apply(request);
    return CreateAndWatch(session, request, args->watch);
  };
  return command;
}

Command Types() {
  Command command;
  command.name = "types";
  command.summary = "Certificate types: the slots of the phones, and which of them are confirmed";
  command.description =
      "What is not confirmed is a default by analogy: compare the item with those that a phone of yours "
      "lists, and "
      "correct it in the server's slot table (slots.file).";
  command.examples = {"phonepki deployment types"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(auto response,
                     session.Call(&Stub::ListCertificateTypes, v1::ListCertificateTypesRequest()));
    return session.Show(response, [&] {
      Table table(
          {{"TYPE"}, {"TITLE", false, true}, {"ITEM"}, {"CONFIRMED"}, {"PROOF"}, {"PHONES", false, true}});
      for (const v1::CertificateType& type : response.certificate_types()) {
        table.Add({type.name(), type.title(), type.item(), type.confirmed() ? "yes" : "no", type.proof(),
                   type.supported_by().empty() ? "all" : absl::StrJoin(type.supported_by(), ", ")});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Activate() {
  Command command = NamedCommand<Stub, v1::ActivateDeploymentRequest, v1::ActivateDeploymentResponse>(
      kNoun, "activate",
      "Activate Certificate / PKI Configuration: jobs appear at the deploy date, one per phone",
      {"phonepki deployment activate 12"}, &Stub::ActivateDeployment,
      [](Session& session, const auto& response, const std::string&) {
        ShowDeployment(session, response.deployment());
      });
  command.options[0].names = command.options[0].placeholder = "ID";
  return command;
}

Command Deactivate() {
  struct Arguments {
    std::string id;
    bool cancel_jobs = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "deactivate";
  command.summary = "No further jobs; with --cancel-jobs also cancel those that are not finished";
  command.examples = {"phonepki deployment deactivate 12", "phonepki deployment deactivate 12 --cancel-jobs"};
  command.options = {IdArgument(&args->id),
                     Flag("--cancel-jobs", "cancel unfinished jobs", &args->cancel_jobs)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::DeactivateDeploymentRequest request;
    request.set_name(ResourceName(kNoun.collection, args->id));
    request.set_cancel_jobs(args->cancel_jobs);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::DeactivateDeployment, request));
    return session.Show(response, [&] {
      Say(session, kNoun, ShortName(response.deployment().name()),
          absl::StrCat("deactivated, ", response.cancelled_jobs(), " jobs cancelled"));
    });
  };
  return command;
}

Command Resume() {
  struct Arguments {
    std::string id;
    bool retry_failed = false;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "resume";
  command.summary = "Go on with a deployment that too many failures of a wave have halted";
  command.description =
      "The failures of the wave are accepted and the next one starts. With --retry-failed the failed and "
      "timed-out "
      "jobs go again first, and the next wave starts if enough of them succeed.";
  command.examples = {"phonepki deployment resume 12", "phonepki deployment resume 12 --retry-failed"};
  command.options = {IdArgument(&args->id),
                     Flag("--retry-failed", "failed and timed-out jobs go again first", &args->retry_failed)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ResumeDeploymentRequest request;
    request.set_name(ResourceName(kNoun.collection, args->id));
    request.set_retry_failed(args->retry_failed);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::ResumeDeployment, request));
    return session.Show(response, [&] {
      Say(session, kNoun, ShortName(response.deployment().name()),
          absl::StrCat("resumed, ", response.retried_jobs(), " jobs go again"));
    });
  };
  return command;
}

Command Update() {
  struct Arguments {
    std::string id;
    std::optional<std::string> connector, deploy_date, deadline;
    WaveOptions waves;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "update";
  command.summary = "Change connector, deploy date, job deadline or waves, until the first job exists";
  command.examples = {"phonepki deployment update 12 --deploy-date '2026-12-06 02:00'"};
  command.options = {IdArgument(&args->id),
                     Value("--connector,--pki", "CONNECTOR", "the connector to issue from", &args->connector)
                         .Completing(Complete::kConnector),
                     Value("--deploy-date", "TIME", "Deploy Date", &args->deploy_date),
                     Value("--job-deadline", "DURATION", "how long a phone may take", &args->deadline)};
  args->waves.AddTo(command.options);
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::UpdateDeploymentRequest request;
    request.set_name(ResourceName(kNoun.collection, args->id));
    if (args->connector) request.set_connector(ResourceName("connectors", *args->connector));
    if (args->deploy_date) {
      ASSIGN_OR_RETURN(absl::Time time,
                       ParseTime(*args->deploy_date, session.now(), session.zone(), "deploy-date"));
      *request.mutable_deploy_date() = ToProto(time);
    }
    if (args->deadline) {
      ASSIGN_OR_RETURN(absl::Duration deadline, ParseDuration(*args->deadline, "job-deadline"));
      request.set_job_deadline_seconds(absl::ToInt64Seconds(deadline));
    }
    args->waves.Apply(request);
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::UpdateDeployment, request));
    return session.Show(response, [&] { ShowDeployment(session, response.deployment()); });
  };
  return command;
}

Command List() {
  auto location = std::make_shared<std::string>();
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List the deployments, newest first";
  command.examples = {"phonepki deployment list", "phonepki deployment list --location Bremen"};
  command.options = {
      Value("--location", "LOCATION", "of one location", location.get()).Completing(Complete::kLocation)};
  command.run = [location](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListDeploymentsRequest request;
    request.set_location(ResourceName("locations", *location));
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListDeployments, request));
    return session.Show(response, [&] {
      Table table({{"ID"},
                   {"LOCATION", false, true},
                   {"TYPE"},
                   {"CONNECTOR", false, true},
                   {"DEPLOY DATE"},
                   {"STATE"},
                   {"WAVE"},
                   {"DONE", true},
                   {"OK", true},
                   {"FAILED", true}});
      for (const v1::Deployment& deployment : response.deployments()) {
        const v1::Progress& progress = deployment.progress();
        const std::int64_t failed = FailedCount(progress);
        table.Add(
            {ShortName(deployment.name()), deployment.location_display_name(), deployment.certificate_type(),
             deployment.connector_display_name(), TimeText(deployment.deploy_date(), session.zone()),
             StateCell(v1::Deployment::State_Name(deployment.state())),
             progress.waves() > 0 ? absl::StrCat(progress.wave(), "/", progress.waves()) : "",
             absl::StrCat(DoneCount(progress), "/", PhoneCount(progress)), absl::StrCat(progress.succeeded()),
             Cell(absl::StrCat(failed), failed > 0 ? Color::kRed : Color::kNone)});
      }
      session.Print(table);
    });
  };
  return command;
}

Command Get() {
  Command command = NamedCommand<Stub, v1::GetDeploymentRequest, v1::GetDeploymentResponse>(
      kNoun, "get", "Show one deployment with its figures", {"phonepki deployment get 12"},
      &Stub::GetDeployment, [](Session& session, const auto& response, const std::string&) {
        ShowDeployment(session, response.deployment());
      });
  command.options[0].names = command.options[0].placeholder = "ID";
  return command;
}

Command Delete() {
  Command command = NamedCommand<Stub, v1::DeleteDeploymentRequest, v1::DeleteDeploymentResponse>(
      kNoun, "delete", "Delete an inactive deployment without unfinished jobs",
      {"phonepki deployment delete 12"}, &Stub::DeleteDeployment,
      [](Session& session, const auto&, const std::string& typed) { Say(session, kNoun, typed, "deleted"); });
  command.options[0].names = command.options[0].placeholder = "ID";
  return command;
}

bool IsUnfinished(const v1::Deployment& deployment) {
  return deployment.state() == v1::Deployment::SCHEDULED || deployment.state() == v1::Deployment::RUNNING;
}

// Ids stay as they are; anything else is a location, of which its newest active deployment is meant.
absl::StatusOr<std::vector<std::string>> NamesToWatch(Session& session, const std::vector<std::string>& ids,
                                                      const std::vector<std::string>& locations) {
  std::vector<std::string> names;
  std::vector<std::string> places = locations;
  for (const std::string& id : ids) {
    const bool number = id.find_first_not_of("0123456789") == std::string::npos;
    if (number || absl::StartsWith(id, "deployments/")) {
      names.push_back(ResourceName("deployments", id));
    } else {
      places.push_back(id);
    }
  }
  for (const std::string& place : places) {
    v1::ListDeploymentsRequest request;
    request.set_location(ResourceName("locations", place));
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListDeployments, request));
    const v1::Deployment* newest = nullptr;
    for (const v1::Deployment& deployment : response.deployments()) {
      if (deployment.active() && newest == nullptr) newest = &deployment;
    }
    if (newest == nullptr) {
      return absl::NotFoundError(absl::StrCat("location \"", place, "\" has no active deployment"));
    }
    names.push_back(newest->name());
  }
  if (ids.empty() && locations.empty()) {
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListDeployments, v1::ListDeploymentsRequest()));
    for (const v1::Deployment& deployment : response.deployments()) {
      if (IsUnfinished(deployment)) names.push_back(deployment.name());
    }
  }
  return names;
}

Command Watch(const std::string& noun) {
  struct Arguments {
    std::vector<std::string> ids, locations;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "watch";
  command.summary = "Watch deployments until every job is final: a bar per location";
  command.description =
      "Without ID: everything that is scheduled or running. On a terminal the bars are drawn in place; in a "
      "pipe every "
      "change is a line, at most one a second and location; with -o json every message is a line. Exit code "
      "0 only when "
      "every job succeeded, else 7. A restart of the server is waited for.";
  command.examples = {
      absl::StrCat("phonepki ", noun, " watch"), absl::StrCat("phonepki ", noun, " watch 12 13"),
      absl::StrCat("phonepki ", noun, " watch Bremen"),
      absl::StrCat("phonepki ", noun, " watch 12 -o json | jq '.deployments[].progress.succeeded'")};
  command.options = {Positional("ID", "deployments by number, or locations by name", &args->ids)
                         .Completing(Complete::kDeployment),
                     Value("--location", "LOCATION", "the active deployment of a location", &args->locations)
                         .Completing(Complete::kLocation)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(std::vector<std::string> names, NamesToWatch(session, args->ids, args->locations));
    if (names.empty()) {
      session.Note("no deployment is scheduled or running");
      return kExitOk;
    }
    return WatchRollout(session, names);
  };
  return command;
}

}  // namespace

absl::StatusOr<v1::PinMode> ParsePinMode(const std::string& text) {
  if (text.empty()) return v1::PIN_MODE_UNSPECIFIED;
  if (text == "none") return v1::NO_PIN;
  if (text == "default") return v1::DEFAULT_PIN;
  if (text == "individual") return v1::INDIVIDUAL_PIN;
  return base::InvalidField("pin-mode", "PIN_MODE", "must be none, default or individual");
}

void WaveOptions::AddTo(std::vector<Option>& options) {
  options.push_back(Value("--wave,--wave-size", "N",
                          "N phones at a time, in the order of their MAC addresses; default all at once",
                          &size));
  options.push_back(Value("--wave-failure-limit", "PERCENT",
                          "no wave follows one of whose phones more than this fail; default 10", &limit));
}

absl::StatusOr<ExitCode> CreateAndWatch(Session& session, const v1::CreateDeploymentRequest& request,
                                        bool watch) {
  ASSIGN_OR_RETURN(auto response, session.Call(&Stub::CreateDeployment, request));
  watch = watch && !request.validate_only();
  if (watch && session.format() == Format::kJson) {
    session.ShowLine(response);
  } else {
    RETURN_IF_ERROR(session
                        .Show(response,
                              [&] {
                                if (request.validate_only()) session.Note("dry run: nothing was changed");
                                ShowDeployment(session, response.deployment());
                              })
                        .status());
  }
  if (!watch) return kExitOk;
  session.environment().out.flush();
  return WatchRollout(session, {response.deployment().name()});
}

Command DeploymentCommand() {
  Command command;
  command.name = "deployment";
  command.aliases = {"automatic-certificate-deployment"};
  command.summary = "Automatic certificate deployment: location, type, connector, deploy date, activate";
  command.examples = {
      "phonepki deployment create --location Bremen --type wbm --connector WBM --deploy-date '2026-12-05 "
      "02:00' --activate",
      "phonepki deployment watch"};
  command.commands = {Create(), Activate(), Resume(), Deactivate(),        Update(),
                      List(),   Get(),      Delete(), Watch("deployment"), Types()};
  return command;
}

Command RolloutCommand() {
  Command command;
  command.name = "rollout";
  command.summary = "Roll-outs under way: watch their progress";
  command.examples = {"phonepki rollout watch", "phonepki rollout watch Bremen"};
  command.commands = {Watch("rollout")};
  return command;
}

}  // namespace phonepki::cli
