// Is the server there, and how much is going on.
#include <map>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/empty.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/progress.h"
#include "phonepki/ca/v1/internal_ca.grpc.pb.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"
#include "phonepki/device/v1/location.grpc.pb.h"

namespace phonepki::cli {
namespace {

// grpc.health.v1.Health, of which the packages hold no header. An empty request asks for the server as a
// whole, and the answer's one field has the number and wire type of Int64Value's.
class HealthStub {
 public:
  explicit HealthStub(const std::shared_ptr<grpc::ChannelInterface>& channel)
      : channel_(channel),
        check_("/grpc.health.v1.Health/Check", grpc::internal::RpcMethod::NORMAL_RPC, channel) {}

  grpc::Status Check(grpc::ClientContext* context, const google::protobuf::Empty& request,
                     google::protobuf::Int64Value* response) {
    return grpc::internal::BlockingUnaryCall<google::protobuf::Empty, google::protobuf::Int64Value,
                                             google::protobuf::MessageLite, google::protobuf::MessageLite>(
        channel_.get(), check_, context, request, response);
  }

 private:
  std::shared_ptr<grpc::ChannelInterface> channel_;
  const grpc::internal::RpcMethod check_;
};

struct Figures {
  std::string health;
  std::int64_t cas = 0, enabled_cas = 0, locations = 0, devices = 0;
  std::map<std::string, std::int64_t> deployments;  // by state
  deployment::v1::Progress jobs;
};

absl::StatusOr<std::string> Health(Session& session) {
  absl::StatusOr<google::protobuf::Int64Value> answer =
      session.Call(&HealthStub::Check, google::protobuf::Empty());
  if (absl::IsUnimplemented(answer.status()) || absl::IsNotFound(answer.status())) return "reachable";
  if (!answer.ok()) return answer.status();
  return answer->value() == 1 ? "serving" : answer->value() == 2 ? "not-serving" : "unknown";
}

absl::StatusOr<Figures> Collect(Session& session) {
  Figures figures;
  ASSIGN_OR_RETURN(figures.health, Health(session));
  ASSIGN_OR_RETURN(auto cas, session.List(&ca::v1::InternalCaService::Stub::ListInternalCas,
                                          ca::v1::ListInternalCasRequest()));
  figures.cas = cas.internal_cas_size();
  for (const ca::v1::InternalCa& ca : cas.internal_cas()) figures.enabled_cas += ca.enabled() ? 1 : 0;
  ASSIGN_OR_RETURN(auto locations, session.List(&device::v1::LocationService::Stub::ListLocations,
                                                device::v1::ListLocationsRequest()));
  figures.locations = locations.locations_size();
  for (const device::v1::Location& location : locations.locations())
    figures.devices += location.device_count();
  ASSIGN_OR_RETURN(auto deployments, session.List(&deployment::v1::DeploymentService::Stub::ListDeployments,
                                                  deployment::v1::ListDeploymentsRequest()));
  for (const deployment::v1::Deployment& deployment : deployments.deployments()) {
    ++figures.deployments[Word(deployment::v1::Deployment::State_Name(deployment.state()))];
    AddTo(figures.jobs, deployment.progress());
  }
  return figures;
}

void PrintJson(Session& session, const Figures& figures) {
  std::string deployments;
  for (const auto& [state, count] : figures.deployments) {
    absl::StrAppend(&deployments, deployments.empty() ? "" : ", ", "\"", state, "\": ", count);
  }
  google::protobuf::StringValue server;
  server.set_value(session.server());
  session.environment().out << "{\n \"server\": " << ToJson(server, false) << ",\n \"health\": \""
                            << figures.health << "\",\n \"internal_cas\": " << figures.cas
                            << ",\n \"enabled_internal_cas\": " << figures.enabled_cas
                            << ",\n \"locations\": " << figures.locations
                            << ",\n \"devices\": " << figures.devices << ",\n \"deployments\": {"
                            << deployments << "},\n \"jobs\": " << ToJson(figures.jobs, false) << "\n}\n";
}

void PrintSheet(Session& session, const Figures& figures) {
  Sheet sheet;
  sheet.Add("Server", session.server());
  sheet.Add("Health", figures.health, figures.health == "not-serving" ? Color::kRed : Color::kGreen);
  sheet.Add("Internal CAs", absl::StrCat(figures.cas, " (enabled ", figures.enabled_cas, ")"));
  sheet.Add("Devices", absl::StrCat(figures.devices, " in ", figures.locations, " locations"));
  std::string deployments;
  for (const auto& [state, count] : figures.deployments) {
    absl::StrAppend(&deployments, deployments.empty() ? "" : ", ", state, " ", count);
  }
  sheet.Add("Deployments", deployments.empty() ? "none" : deployments);
  const deployment::v1::Progress& jobs = figures.jobs;
  sheet.Add("Jobs", absl::StrCat(jobs.total(), " (finished ", DoneCount(jobs), ", of these succeeded ",
                                 jobs.succeeded(), ", failed ", FailedCount(jobs), ")"));
  if (jobs.total() > DoneCount(jobs)) {
    sheet.Add("Under way",
              absl::StrCat("scheduled ", jobs.scheduled(), ", waiting ", jobs.waiting(), ", running ",
                           jobs.running(), ", busy ", jobs.deferred_busy(), ", offline ",
                           jobs.deferred_offline(), ", verifying ", jobs.verifying()));
  }
  session.Print(sheet);
}

}  // namespace

Command StatusCommand() {
  Command command;
  command.name = "status";
  command.summary = "Is the server there, and how much is going on";
  command.description = "Exit code 6 when the server cannot be reached or does not serve.";
  command.examples = {"phonepki status", "phonepki status -o json",
                      "until phonepki status; do sleep 1; done"};
  command.run = [](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(Figures figures, Collect(session));
    if (session.format() == Format::kJson) {
      PrintJson(session, figures);
    } else if (session.format() == Format::kName) {
      session.environment().out << session.server() << '\n';
    } else {
      PrintSheet(session, figures);
    }
    return figures.health == "not-serving" ? kExitUnavailable : kExitOk;
  };
  return command;
}

}  // namespace phonepki::cli
