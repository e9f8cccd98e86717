#include <chrono>
#include <fstream>
#include <iostream>
#include <thread>

#include "cli/commands.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"
#include "phonepki/device/v1/device.grpc.pb.h"
#include "phonepki/device/v1/location.grpc.pb.h"
#include "phonepki/job/v1/job.grpc.pb.h"

namespace phonepki::cli {
namespace {

const Columns kLocationFields = {{"Name", "name"},
                                 {"Location", "display_name"},
                                 {"Description", "description"},
                                 {"Priority", "priority"},
                                 {"Rules", "rules"},
                                 {"Default", "is_default"},
                                 {"Devices", "device_count"},
                                 {"Most sessions", "max_sessions"}};
const Columns kDeploymentFields = {{"Name", "name"},
                                   {"Location", "location_display_name"},
                                   {"Certificate type", "certificate_type"},
                                   {"Connector", "connector_display_name"},
                                   {"Deploy date", "deploy_date"},
                                   {"Active", "active"},
                                   {"State", "state"},
                                   {"Jobs", "progress.total"},
                                   {"Succeeded", "progress.succeeded"},
                                   {"Failed", "progress.failed"}};
const Columns kJobFields = {
    {"Name", "name"},          {"Device", "device"},           {"Deployment", "deployment"},
    {"State", "state"},        {"Reason", "reason"},           {"Text", "reason_text"},
    {"Attempt", "attempt"},    {"Certificate", "certificate"}, {"Created", "create_time"},
    {"Next", "next_run_time"}, {"Deadline", "deadline"},       {"Finished", "finish_time"}};

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

int WatchDeployments(Session& session, std::vector<std::string> names) {
  const auto stub = Stub<deployment::v1::DeploymentService>(session);
  if (names.empty()) {  // all that are under way
    deployment::v1::ListDeploymentsRequest request;
    deployment::v1::ListDeploymentsResponse response;
    const int code = Call(session.connection, [&](grpc::ClientContext* context) {
      return stub->ListDeployments(context, request, &response);
    });
    if (code != kOk) return code;
    for (const auto& found : response.deployments()) {
      if (found.active()) names.push_back(found.name());
    }
    if (names.empty()) {
      std::cerr << "no active deployment\n";
      return kNotFound;
    }
  }
  deployment::v1::WatchProgressRequest request;
  for (const std::string& name : names) request.add_names(ResourceName("deployments", name));
  ProgressDisplay display(IsTerminal(), TerminalWidth());
  const auto start = std::chrono::steady_clock::now();
  deployment::v1::WatchProgressResponse state;
  // A server that restarts meanwhile is watched on.
  for (int failures = 0; failures < 30;) {
    grpc::ClientContext context;
    const auto reader = stub->WatchProgress(&context, request);
    while (reader->Read(&state)) {
      failures = 0;
      if (session.json()) {
        std::cout << Json(state) << std::flush;
      } else {
        const std::chrono::duration<double> since = std::chrono::steady_clock::now() - start;
        std::cout << display.Show(state, since.count()) << std::flush;
      }
    }
    const grpc::Status status = reader->Finish();
    if (state.finished()) {
      for (const auto& found : state.deployments()) {
        if (found.progress().succeeded() < found.progress().total()) return kNotAllSucceeded;
      }
      return kOk;
    }
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE)
      return Report(status, session.connection.server);
    ++failures;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return kUnavailable;
}

}  // namespace

#define RUN(...) ->callback([&session, options ] __VA_ARGS__)

void AddLocationCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("location", "Locations (Administration > Server Configuration > Location)")
          ->require_subcommand(1);
  struct Options {
    std::string name, description;
    std::vector<std::string> cidr, e164, types, devices;
    int priority = 100, max_sessions = 0;
  };
  const auto options = std::make_shared<Options>();
  const auto add_rules = [](const Options& from, auto* to) {
    const auto add = [&](const std::vector<std::string>& values, device::v1::LocationRule::Kind kind) {
      for (const std::string& value : values) {
        auto* rule = to->add_rules();
        rule->set_kind(kind);
        rule->set_value(value);
      }
    };
    add(from.cidr, device::v1::LocationRule::CIDR);
    add(from.e164, device::v1::LocationRule::E164_PREFIX);
    add(from.types, device::v1::LocationRule::DEVICE_TYPE);
    add(from.devices, device::v1::LocationRule::DEVICE);
  };
  CLI::App* create = noun->add_subcommand("create", "New location with its rules");
  CLI::App* trial = noun->add_subcommand("try", "Which devices would move by these rules; changes nothing");
  create->add_option("name", options->name, "Location")->required();
  create->add_option("--description", options->description, "Description");
  create->add_option("--max-sessions", options->max_sessions, "Phones worked on at once; 0: no limit");
  trial->add_option("--name", options->name, "Existing location whose rules are to change");
  for (CLI::App* command : {create, trial}) {
    command->add_option("--cidr", options->cidr, "Address range");
    command->add_option("--e164-prefix", options->e164, "Beginning of the number");
    command->add_option("--device-type", options->types, "Device type, may end in *");
    command->add_option("--device", options->devices, "MAC address");
    command->add_option("--priority", options->priority, "The highest wins")->capture_default_str();
  }
  create->footer("Example:\n  phonepki location create Bremen --cidr 10.1.0.0/16");
  create->callback([&session, options, add_rules] {
    device::v1::CreateLocationRequest request;
    request.set_display_name(options->name);
    request.set_description(options->description);
    request.set_priority(options->priority);
    request.set_max_sessions(options->max_sessions);
    request.set_request_id(NewRequestId());
    add_rules(*options, &request);
    device::v1::CreateLocationResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<device::v1::LocationService>(session)->CreateLocation(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.location(), kLocationFields);
  });
  trial->callback([&session, options, add_rules] {
    device::v1::TryLocationRulesRequest request;
    if (!options->name.empty()) request.set_name(ResourceName("locations", options->name));
    request.set_priority(options->priority);
    add_rules(*options, &request);
    device::v1::TryLocationRulesResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<device::v1::LocationService>(session)->TryLocationRules(context, request, &response);
    });
    if (session.exit_code != kOk) return;
    PrintList(session, response, response.moves(),
              {{"DEVICE", "device"}, {"FROM", "from_location"}, {"TO", "to_location"}});
    if (!session.json()) {
      std::cout << response.total_moves() << " of " << response.devices_checked() << " devices would move\n";
    }
  });
  noun->add_subcommand("list", "All locations") RUN({
    device::v1::ListLocationsRequest request;
    device::v1::ListLocationsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<device::v1::LocationService>(session)->ListLocations(context, request, &response);
    });
    if (session.exit_code == kOk) {
      PrintList(session, response, response.locations(),
                {{"NAME", "name"},
                 {"LOCATION", "display_name"},
                 {"PRIORITY", "priority"},
                 {"DEVICES", "device_count"},
                 {"RULES", "rules"}});
    }
  });
  CLI::App* remove = noun->add_subcommand("delete", "Delete a location; its phones move by the other rules");
  remove->add_option("name", options->name, "Location")->required();
  remove RUN({
    device::v1::DeleteLocationRequest request;
    request.set_name(ResourceName("locations", options->name));
    device::v1::DeleteLocationResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<device::v1::LocationService>(session)->DeleteLocation(context, request, &response);
    });
  });
}

void AddDeviceCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("device", "Phones (IP Devices)")->require_subcommand(1);
  struct Options {
    std::string name, file, location, network, e164, mac, token, state;
    int page_size = 100;
    bool dry_run = false, force = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* import = noun->add_subcommand(
      "import", "Virtual devices from a CSV file (mac, e164, ip, fqdn, device_type, description)");
  import->add_option("file", options->file, "CSV file, - for standard input")->required();
  import->add_flag("--dry-run", options->dry_run, "Check everything, change nothing");
import RUN({ device::v1::ImportDevicesRequest request;
  request.set_csv(ReadInput(options->file));
  request.set_validate_only(options->dry_run);
  device::v1::ImportDevicesResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<device::v1::DeviceService>(session)->ImportDevices(context, request, &response);
  });
  if (session.exit_code != kOk) return;
  if (session.json()) {
    std::cout << Json(response);
  } else {
    for (const auto& error : response.errors())
      std::cerr << "line " << error.line() << ": " << error.message() << "\n";
    std::cout << response.created() << " created, " << response.updated() << " updated, "
              << response.unchanged() << " unchanged, " << response.failed() << " failed\n";
  }
  if (response.failed() > 0) session.exit_code = kNotAllSucceeded;
});
CLI::App* list = noun->add_subcommand("list", "Phones, ordered by MAC address");
list->add_option("--location", options->location, "In this location");
list->add_option("--network", options->network, "In this address range");
list->add_option("--e164-prefix", options->e164, "Numbers that begin so");
list->add_option("--mac-prefix", options->mac, "MAC addresses that begin so");
list->add_option("--state", options->state, "virtual or registered")
    ->check(CLI::IsMember({"virtual", "registered"}));
list->add_option("--page-size", options->page_size, "Rows")->capture_default_str();
list->add_option("--page-token", options->token, "Next page");
list RUN({
  device::v1::ListDevicesRequest request;
  if (!options->location.empty()) request.set_location(ResourceName("locations", options->location));
  request.set_ip_network(options->network);
  request.set_e164_prefix(options->e164);
  request.set_mac_prefix(options->mac);
  request.set_page_size(options->page_size);
  request.set_page_token(options->token);
  if (options->state == "virtual") request.set_state(device::v1::Device::VIRTUAL);
  if (options->state == "registered") request.set_state(device::v1::Device::REGISTERED);
  device::v1::ListDevicesResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<device::v1::DeviceService>(session)->ListDevices(context, request, &response);
  });
  if (session.exit_code != kOk) return;
  PrintList(session, response, response.devices(),
            {{"MAC", "mac"},
             {"STATE", "state"},
             {"LOCATION", "location_display_name"},
             {"ADDRESS", "ip_address"},
             {"E.164", "e164"},
             {"TYPE", "device_type"},
             {"SOFTWARE", "software_version"},
             {"LAST CONTACT", "last_contact_time"}});
  if (!session.json() && !response.next_page_token().empty()) {
    std::cout << "more: --page-token " << response.next_page_token() << "\n";
  }
});
CLI::App* get = noun->add_subcommand("get", "One phone with its slots: imported and active certificate");
get->add_option("mac", options->name, "MAC address")->required();
get RUN({
  device::v1::GetDeviceRequest request;
  request.set_name(ResourceName("devices", options->name));
  device::v1::GetDeviceResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<device::v1::DeviceService>(session)->GetDevice(context, request, &response);
  });
  if (session.exit_code != kOk) return;
  session.Print(response, response.device(),
                {{"MAC", "mac"},
                 {"State", "state"},
                 {"Location", "location_display_name"},
                 {"Address", "ip_address"},
                 {"FQDN", "fqdn"},
                 {"E.164", "e164"},
                 {"Type", "device_type"},
                 {"Software", "software_version"},
                 {"Part number", "part_number"},
                 {"Last contact", "last_contact_time"},
                 {"Reason", "last_contact_reason"}});
  if (session.json()) return;
  for (const auto& slot : response.device().slots()) {
    std::cout << "\nSlot " << slot.kind() << "\n"
              << Card(slot, {{"  Imported Certificate", "imported.serial"},
                             {"  Active Certificate", "active.serial"},
                             {"  Subject", "active.subject"},
                             {"  Valid to", "active.not_after"},
                             {"  Since", "active.since"}});
  }
});
CLI::App* remove = noun->add_subcommand("delete", "Forget a phone");
remove->add_option("mac", options->name, "MAC address")->required();
remove->add_flag("--force", options->force, "Although it has unfinished jobs");
remove RUN({
  device::v1::DeleteDeviceRequest request;
  request.set_name(ResourceName("devices", options->name));
  request.set_force(options->force);
  device::v1::DeleteDeviceResponse response;
  session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
    return Stub<device::v1::DeviceService>(session)->DeleteDevice(context, request, &response);
  });
});
}  // namespace phonepki::cli

void AddDeploymentCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, location, type = "wbm", connector, date = "now";
    std::vector<std::string> names;
    bool activate = false, cancel = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* noun = app.add_subcommand("deployment",
                                      "Automatic certificate deployments (Administration > Automatic "
                                      "Certificate Deployment)")
                       ->require_subcommand(1);
  CLI::App* create = noun->add_subcommand("create", "New automatic certificate deployment");
  create->add_option("--location", options->location, "Location")->required();
  create->add_option("--type", options->type, "Certificate type")->capture_default_str();
  create->add_option("--connector", options->connector, "Import from PKI: the connector")->required();
  create->add_option("--deploy-date", options->date, "now, 'YYYY-MM-DD hh:mm', RFC 3339")
      ->capture_default_str();
  create->add_flag("--activate", options->activate, "Activate Certificate / PKI Configuration");
  create->footer(
      "Example:\n  phonepki deployment create --location Bremen --connector phones --deploy-date "
      "'2026-12-05 22:00' --activate");
  create RUN({
    deployment::v1::CreateDeploymentRequest request;
    request.set_location(ResourceName("locations", options->location));
    request.set_certificate_type(options->type);
    request.set_connector(ResourceName("connectors", options->connector));
    if (options->date != "now") request.mutable_deploy_date()->set_seconds(ParseTime(options->date));
    request.set_activate(options->activate);
    request.set_request_id(NewRequestId());
    deployment::v1::CreateDeploymentResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<deployment::v1::DeploymentService>(session)->CreateDeployment(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.deployment(), kDeploymentFields);
  });
  noun->add_subcommand("list", "All deployments, newest first") RUN({
    deployment::v1::ListDeploymentsRequest request;
    deployment::v1::ListDeploymentsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<deployment::v1::DeploymentService>(session)->ListDeployments(context, request, &response);
    });
    if (session.exit_code == kOk) {
      PrintList(session, response, response.deployments(),
                {{"NAME", "name"},
                 {"LOCATION", "location_display_name"},
                 {"TYPE", "certificate_type"},
                 {"DEPLOY DATE", "deploy_date"},
                 {"STATE", "state"},
                 {"JOBS", "progress.total"},
                 {"OK", "progress.succeeded"},
                 {"FAILED", "progress.failed"}});
    }
  });
#define SIMPLE(verb, Method, help, more)                                                               \
  {                                                                                                    \
    CLI::App* command = noun->add_subcommand(verb, help);                                              \
    command->add_option("name", options->name, "Number of the deployment")->required();                \
    more;                                                                                              \
    command RUN({                                                                                      \
      deployment::v1::Method##Request request;                                                         \
      request.set_name(ResourceName("deployments", options->name));                                    \
      deployment::v1::Method##Response response;                                                       \
      session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {                 \
        return Stub<deployment::v1::DeploymentService>(session)->Method(context, request, &response);  \
      });                                                                                              \
      if (session.exit_code == kOk) session.Print(response, response.deployment(), kDeploymentFields); \
    });                                                                                                \
  }
  SIMPLE("get", GetDeployment, "One deployment", )
  SIMPLE("activate", ActivateDeployment, "Tick Activate Certificate / PKI Configuration", )
#undef SIMPLE
  CLI::App* deactivate = noun->add_subcommand("deactivate", "Untick Activate: no further jobs");
  deactivate->add_option("name", options->name, "Number of the deployment")->required();
  deactivate->add_flag("--cancel-jobs", options->cancel, "Cancel the unfinished ones");
  deactivate RUN({
    deployment::v1::DeactivateDeploymentRequest request;
    request.set_name(ResourceName("deployments", options->name));
    request.set_cancel_jobs(options->cancel);
    deployment::v1::DeactivateDeploymentResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<deployment::v1::DeploymentService>(session)->DeactivateDeployment(context, request,
                                                                                    &response);
    });
    if (session.exit_code == kOk) session.Print(response, response.deployment(), kDeploymentFields);
  });
  CLI::App* rollout = app.add_subcommand("rollout", "Roll-outs as they happen")->require_subcommand(1);
  for (CLI::App* parent : {noun, rollout}) {
    CLI::App* watch = parent->add_subcommand("watch",
                                             "Progress per location until all jobs are final; exit status 7 "
                                             "unless all succeeded");
    watch->add_option("deployment", options->names, "Numbers; default all active deployments");
    watch RUN({ session.exit_code = WatchDeployments(session, options->names); });
  }
}

void AddJobCommands(CLI::App& app, Session& session) {
  CLI::App* noun =
      app.add_subcommand("job", "Job control (Job Coordination > Job Control)")->require_subcommand(1);
  struct Options {
    std::string name, deployment, device, reason, cursor, token;
    std::vector<std::string> states;
    int page_size = 100;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* list = noun->add_subcommand("list", "Jobs, newest first");
  list->add_option("--deployment", options->deployment, "Of this deployment");
  list->add_option("--device", options->device, "Of this MAC address");
  list->add_option("--state", options->states, "In these states");
  list->add_option("--reason", options->reason, "With this reason");
  list->add_option("--page-size", options->page_size, "Rows")->capture_default_str();
  list->add_option("--page-token", options->token, "Next page");
  list RUN({
    job::v1::ListJobsRequest request;
    if (!options->deployment.empty())
      request.set_deployment(ResourceName("deployments", options->deployment));
    if (!options->device.empty()) request.set_device(ResourceName("devices", options->device));
    for (std::string state : options->states) {
      for (char& c : state) c = static_cast<char>(std::toupper(c));
      job::v1::JobState value{};
      if (!job::v1::JobState_Parse(state, &value))
        throw CLI::ValidationError("--state", state + " is no state of a job");
      request.add_states(value);
    }
    request.set_reason(options->reason);
    request.set_page_size(options->page_size);
    request.set_page_token(options->token);
    job::v1::ListJobsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<job::v1::JobService>(session)->ListJobs(context, request, &response);
    });
    if (session.exit_code != kOk) return;
    PrintList(session, response, response.jobs(),
              {{"NAME", "name"},
               {"DEVICE", "device"},
               {"STATE", "state"},
               {"REASON", "reason"},
               {"ATTEMPT", "attempt"},
               {"NEXT", "next_run_time"},
               {"TEXT", "reason_text"}});
    if (!session.json() && !response.next_page_token().empty()) {
      std::cout << "more: --page-token " << response.next_page_token() << "\n";
    }
  });
  CLI::App* get = noun->add_subcommand("get", "One job with its history");
  get->add_option("name", options->name, "Number of the job")->required();
  get RUN({
    job::v1::GetJobRequest request;
    request.set_name(ResourceName("jobs", options->name));
    job::v1::GetJobResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<job::v1::JobService>(session)->GetJob(context, request, &response);
    });
    if (session.exit_code != kOk) return;
    session.Print(response, response.job(), kJobFields);
    if (session.json()) return;
    std::vector<const google::protobuf::Message*> rows;
    for (const auto& event : response.job().history()) rows.push_back(&event);
    std::cout << "\n"
              << Table(rows,
                       {{"TIME", "time"},
                        {"FROM", "from_state"},
                        {"TO", "to_state"},
                        {"REASON", "reason"},
                        {"TEXT", "reason_text"}},
                       TerminalWidth());
  });
  for (const bool cancel : {true, false}) {
    CLI::App* command =
        noun->add_subcommand(cancel ? "cancel" : "retry", cancel ? "End a job" : "Try a failed job again");
    command->add_option("name", options->name, "Number of the job")->required();
    command->callback([&session, options, cancel] {
      const std::string name = ResourceName("jobs", options->name);
      job::v1::CancelJobRequest cancel_request;
      cancel_request.set_name(name);
      job::v1::CancelJobResponse cancelled;
      job::v1::RetryJobRequest retry_request;
      retry_request.set_name(name);
      job::v1::RetryJobResponse retried;
      session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
        const auto stub = Stub<job::v1::JobService>(session);
        return cancel ? stub->CancelJob(context, cancel_request, &cancelled)
                      : stub->RetryJob(context, retry_request, &retried);
      });
      if (session.exit_code != kOk) return;
      if (cancel)
        session.Print(cancelled, cancelled.job(), kJobFields);
      else
        session.Print(retried, retried.job(), kJobFields);
    });
  }
  CLI::App* retry_failed =
      noun->add_subcommand("retry-failed", "Try all failed and timed-out jobs of a deployment again");
  retry_failed->add_option("deployment", options->deployment, "Number of the deployment")->required();
  retry_failed RUN({
    job::v1::RetryFailedJobsRequest request;
    request.set_deployment(ResourceName("deployments", options->deployment));
    job::v1::RetryFailedJobsResponse response;
    session.exit_code = Call(session.connection, [&](grpc::ClientContext* context) {
      return Stub<job::v1::JobService>(session)->RetryFailedJobs(context, request, &response);
    });
    if (session.exit_code == kOk) session.Print(response, response, {{"Retried", "retried"}});
  });
  CLI::App* watch = noun->add_subcommand("watch", "State changes as they happen, none missed");
  watch->add_option("--deployment", options->deployment, "Of this deployment");
  watch->add_option("--cursor", options->cursor, "Go on behind this one");
  watch RUN({
    job::v1::WatchJobsRequest request;
    if (!options->deployment.empty())
      request.set_deployment(ResourceName("deployments", options->deployment));
    request.set_cursor(options->cursor);
    grpc::ClientContext context;
    const auto stub = Stub<job::v1::JobService>(session);
    const auto reader = stub->WatchJobs(&context, request);
    job::v1::WatchJobsResponse change;
    while (reader->Read(&change)) {
      if (session.json()) {
        std::cout << Json(change) << std::flush;
      } else {
        std::cout << FieldText(change, "event.time") << "  " << change.job() << "  " << change.device()
                  << "  " << FieldText(change, "event.to_state") << "  " << change.event().reason() << "  "
                  << change.event().reason_text() << std::endl;
      }
    }
    session.exit_code = Report(reader->Finish(), session.connection.server);
  });
}

}  // namespace phonepki::cli
