#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/deployment_repository.h"
#include "db/location_repository.h"
#include "db/plugin_repository.h"
#include "db/secure_mode_repository.h"
#include "scheduler/deployments.h"
#include "scheduler/scheduler_service.h"

namespace phonepki::scheduler {
namespace {

using base::rpc::Caller;
namespace v1 = deployment::v1;

constexpr absl::Duration kWatchInterval = absl::Milliseconds(500);

constexpr int kMaxWaveSize = 100'000;

constexpr char kCollection[] = "deployments";

std::string Name(std::int64_t id) {
  return absl::StrCat("deployments/", id);
}

v1::Deployment::State StateOf(const db::DeploymentRecord& deployment) {
  if (deployment.superseded) return v1::Deployment::SUPERSEDED;
  if (!deployment.active) return deployment.started_at ? v1::Deployment::INACTIVE : v1::Deployment::DRAFT;
  if (deployment.halt.at) return v1::Deployment::HALTED;
  if (!deployment.started_at) return v1::Deployment::SCHEDULED;
  return deployment.progress.unfinished() > 0 || deployment.waves.pending ? v1::Deployment::RUNNING
                                                                          : v1::Deployment::FINISHED;
}

constexpr std::pair<v1::PinMode, const char*> kPinModes[] = {
    {v1::NO_PIN, "none"}, {v1::DEFAULT_PIN, "default"}, {v1::INDIVIDUAL_PIN, "individual"}};

std::string PrintPinMode(v1::PinMode mode) {
  for (const auto& [known, word] : kPinModes) {
    if (known == mode) return word;
  }
  return "";
}

v1::PinMode ParsePinMode(const std::string& word) {
  for (const auto& [mode, known] : kPinModes) {
    if (known == word) return mode;
  }
  return v1::PIN_MODE_UNSPECIFIED;
}

v1::Deployment ToProto(const db::DeploymentRecord& deployment) {
  v1::Deployment proto;
  proto.set_name(Name(deployment.id));
  proto.set_location(absl::StrCat("locations/", deployment.location_id));
  proto.set_location_display_name(deployment.location_display_name);
  proto.set_certificate_type(deployment.slot);
  proto.set_connector(absl::StrCat("connectors/", deployment.connector_id));
  proto.set_connector_display_name(deployment.connector_display_name);
  *proto.mutable_deploy_date() = base::rpc::ToProto(deployment.deploy_at);
  proto.set_active(deployment.active);
  proto.set_state(StateOf(deployment));
  *proto.mutable_create_time() = base::rpc::ToProto(deployment.created_at);
  if (deployment.started_at) *proto.mutable_start_time() = base::rpc::ToProto(*deployment.started_at);
  proto.set_job_deadline_seconds(absl::ToInt64Seconds(deployment.job_deadline));
  proto.set_pin_mode(ParsePinMode(deployment.pin_mode));
  const db::DeploymentWaves& waves = deployment.waves;
  proto.set_wave_size(waves.size);
  if (waves.size > 0) proto.set_wave_failure_limit_percent(waves.failure_limit_percent);
  if (deployment.halt.at) {
    proto.set_halt_reason(deployment.halt.reason);
    proto.set_halt_reason_text(deployment.halt.text);
    *proto.mutable_halt_time() = base::rpc::ToProto(*deployment.halt.at);
  }
  const db::DeploymentProgress& from = deployment.progress;
  auto* to = proto.mutable_progress();
  to->set_total(from.total());
  to->set_scheduled(from.scheduled);
  to->set_waiting(from.waiting);
  to->set_running(from.running);
  to->set_deferred_busy(from.deferred_busy);
  to->set_deferred_offline(from.deferred_offline);
  to->set_verifying(from.verifying);
  to->set_succeeded(from.succeeded);
  to->set_failed(from.failed + from.halted);
  to->set_timed_out(from.timed_out);
  to->set_cancelled(from.cancelled);
  to->set_superseded(from.superseded);
  if (waves.size > 0) {
    to->set_wave(waves.started);
    to->set_waves(waves.started + static_cast<int>((from.to_come + waves.size - 1) / waves.size));
    to->set_phones_to_come(from.to_come);
  }
  return proto;
}

absl::StatusOr<std::int64_t> IdOf(const std::string& name, const std::string& field = "name") {
  return base::rpc::ParseId(name, kCollection, field);
}

absl::StatusOr<db::DeploymentRecord> Load(db::Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(std::vector<db::DeploymentRecord> found, db::GetDeployments(tx, {id}));
  return std::move(found.front());
}

// The deployment that a request names, locked.
absl::StatusOr<db::DeploymentRecord> Lock(db::Tx& tx, const std::string& name) {
  ASSIGN_OR_RETURN(std::int64_t id, IdOf(name));
  return base::WithField(db::LockDeployment(tx, id), "name");
}

absl::StatusOr<std::int64_t> ResolveLocation(db::Tx& tx, const std::string& name) {
  return base::rpc::ResolveName(
      name, "locations", "location",
      [&](const std::string& display_name) { return db::FindLocationByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetLocation(tx, id); });
}

absl::StatusOr<std::int64_t> ResolveConnector(db::Tx& tx, const std::string& name) {
  return base::rpc::ResolveName(
      name, "connectors", "connector",
      [&](const std::string& display_name) { return db::FindConnectorByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetConnector(tx, id); });
}

absl::StatusOr<db::SecureCredentialRecord> FindActiveCredential(db::Tx& tx, const std::string& kind,
                                                                const std::string& reason) {
  ASSIGN_OR_RETURN(auto credentials,
                   db::ListSecureCredentials(tx, kind, std::numeric_limits<std::int64_t>::max(), 1000));
  for (db::SecureCredentialRecord& credential : credentials) {
    if (credential.active) return std::move(credential);
  }
  return base::WithReason(absl::FailedPreconditionError(
                              absl::StrCat("there is no active ", kind, " credential: create one first")),
                          reason);
}

absl::Status CheckDeadline(absl::Duration deadline) {
  if (deadline >= absl::Minutes(1) && deadline <= absl::Hours(24 * 365)) return absl::OkStatus();
  return base::InvalidField("job_deadline_seconds", "JOB_DEADLINE", "must be 60 seconds to 365 days");
}

// A limit without waves would protect nothing.
absl::Status ReadWaves(std::optional<int> size, std::optional<int> limit_percent,
                       db::DeploymentWaves& waves) {
  waves.size = size.value_or(waves.size);
  if (waves.size < 0 || waves.size > kMaxWaveSize) {
    return base::InvalidField("wave_size", "WAVE_SIZE",
                              absl::StrCat("must be 1 to ", kMaxWaveSize, ", or 0 for all phones at once"));
  }
  if (!limit_percent) return absl::OkStatus();
  if (*limit_percent < 0 || *limit_percent > 100 || waves.size == 0) {
    return base::InvalidField("wave_failure_limit_percent", "WAVE_FAILURE_LIMIT",
                              "must be 0 to 100, and goes with wave_size only");
  }
  waves.failure_limit_percent = *limit_percent;
  return absl::OkStatus();
}

// Which PKI issues, and for secure mode how its credentials travel.
absl::Status ReadSource(db::Tx& tx, const v1::CreateDeploymentRequest& request, db::DeploymentRecord& plan) {
  if (plan.slot != db::kClientCertificateSlot) {
    if (request.pin_mode() != v1::PIN_MODE_UNSPECIFIED) {
      return base::InvalidField("pin_mode", "PIN_MODE", "only secure-mode has one");
    }
    ASSIGN_OR_RETURN(plan.connector_id, ResolveConnector(tx, request.connector()));
    return absl::OkStatus();
  }
  plan.pin_mode = PrintPinMode(request.pin_mode());
  if (plan.pin_mode.empty()) {
    return base::InvalidField("pin_mode", "PIN_MODE",
                              "secure-mode needs one: NO_PIN, DEFAULT_PIN or INDIVIDUAL_PIN");
  }
  if (!request.connector().empty()) {
    return base::InvalidField(
        "connector", "CONNECTOR",
        "secure-mode takes the connector of the active client credential; leave it empty");
  }
  RETURN_IF_ERROR(FindActiveCredential(tx, db::credential_kind::kServer, "NO_SERVER_CREDENTIAL").status());
  ASSIGN_OR_RETURN(db::SecureCredentialRecord client,
                   FindActiveCredential(tx, db::credential_kind::kClient, "NO_CLIENT_CREDENTIAL"));
  plan.connector_id = client.connector_id;
  return absl::OkStatus();
}

absl::StatusOr<db::DeploymentRecord> ReadPlan(db::Tx& tx, const v1::CreateDeploymentRequest& request,
                                              const provisioning::SlotTable& slots,
                                              absl::Duration default_deadline) {
  db::DeploymentRecord plan;
  ASSIGN_OR_RETURN(plan.location_id, ResolveLocation(tx, request.location()));
  plan.slot = request.certificate_type();
  RETURN_IF_ERROR(slots.Get(plan.slot, "certificate_type").status());
  RETURN_IF_ERROR(ReadSource(tx, request, plan));
  plan.deploy_at = absl::Now();
  if (request.has_deploy_date()) {
    ASSIGN_OR_RETURN(plan.deploy_at, base::rpc::FromProto(request.deploy_date(), "deploy_date"));
  }
  plan.job_deadline =
      request.job_deadline_seconds() == 0 ? default_deadline : absl::Seconds(request.job_deadline_seconds());
  RETURN_IF_ERROR(CheckDeadline(plan.job_deadline));
  std::optional<int> limit_percent;
  if (request.has_wave_failure_limit_percent()) limit_percent = request.wave_failure_limit_percent();
  RETURN_IF_ERROR(ReadWaves(request.wave_size(), limit_percent, plan.waves));
  return plan;
}

}  // namespace

#define RPC(name)                                                                                      \
  grpc::Status DeploymentService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                       v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.deployment.v1.DeploymentService/" #name,                    \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status {                    \
      return database_.InTransaction(#name, [&](db::Tx& tx) -> absl::Status
#define END_RPC \
  );            \
  });           \
  }

grpc::Status DeploymentService::CreateDeployment(grpc::ServerContext* context,
                                                 const v1::CreateDeploymentRequest* request,
                                                 v1::CreateDeploymentResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.deployment.v1.DeploymentService/CreateDeployment",
      [&](const Caller& caller) -> absl::Status {
        absl::Status status = database_.InTransaction("CreateDeployment", [&](db::Tx& tx) -> absl::Status {
          ASSIGN_OR_RETURN(auto earlier, db::FindApiRequest(tx, "CreateDeployment", request->request_id()));
          std::int64_t id = earlier.value_or(0);
          if (!earlier) {
            ASSIGN_OR_RETURN(db::DeploymentRecord deployment,
                             ReadPlan(tx, *request, slots_, default_job_deadline_));
            ASSIGN_OR_RETURN(id, db::InsertDeployment(tx, deployment));
            if (request->activate()) RETURN_IF_ERROR(scheduler::ActivateDeployment(tx, id));
            RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.create", Name(id)}}));
            RETURN_IF_ERROR(db::RecordApiRequest(tx, "CreateDeployment", request->request_id(), id));
          }
          ASSIGN_OR_RETURN(db::DeploymentRecord stored, Load(tx, id));
          *response->mutable_deployment() = ToProto(stored);
          return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
        });
        if (status.ok()) on_activated_();
        return status;
      });
}

grpc::Status DeploymentService::ListCertificateTypes(grpc::ServerContext* context,
                                                     const v1::ListCertificateTypesRequest*,
                                                     v1::ListCertificateTypesResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.deployment.v1.DeploymentService/ListCertificateTypes",
      [&](const Caller&) -> absl::Status {
        for (const provisioning::CertificateSlot& slot : slots_.slots()) {
          if (slot.holds == provisioning::CertificateSlot::Holds::kSettings) continue;
          v1::CertificateType* type = response->add_certificate_types();
          type->set_name(slot.name);
          type->set_title(slot.title);
          type->set_ca_certificates(slot.holds == provisioning::CertificateSlot::Holds::kCaCertificates);
          type->set_item(slot.item);
          type->set_confirmed(slot.confirmed);
          type->set_proof(provisioning::PrintProof(slot.proof));
          for (const provisioning::SlotSupport& support : slot.supported_by) {
            type->add_supported_by(provisioning::PrintSupport(support));
          }
        }
        return absl::OkStatus();
      });
}

RPC(GetDeployment) {
  ASSIGN_OR_RETURN(std::int64_t id, IdOf(request->name()));
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, base::WithField(Load(tx, id), "name"));
  *response->mutable_deployment() = ToProto(deployment);
  return absl::OkStatus();
}
END_RPC

RPC(ListDeployments) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t before, base::rpc::ReadIdPageToken(kCollection, request->page_token(),
                                                                   std::numeric_limits<std::int64_t>::max()));
  std::optional<std::int64_t> location;
  if (!request->location().empty()) {
    ASSIGN_OR_RETURN(location, ResolveLocation(tx, request->location()));
  }
  ASSIGN_OR_RETURN(auto deployments, db::ListDeployments(tx, location, before, size));
  for (const auto& deployment : deployments) *response->add_deployments() = ToProto(deployment);
  if (static_cast<int>(deployments.size()) == size) {
    response->set_next_page_token(base::rpc::MakePageToken(kCollection, deployments.back().id));
  }
  return absl::OkStatus();
}
END_RPC

RPC(UpdateDeployment) {
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, Lock(tx, request->name()));
  const std::int64_t id = deployment.id;
  if (deployment.started_at) {
    return base::WithReason(absl::FailedPreconditionError("the deployment has created its jobs already"),
                            "DEPLOYMENT_STARTED");
  }
  if (request->has_connector() && deployment.slot == db::kClientCertificateSlot) {
    return base::InvalidField("connector", "CONNECTOR",
                              "secure-mode takes the connector of the active client credential");
  }
  if (request->has_connector()) {
    ASSIGN_OR_RETURN(deployment.connector_id, ResolveConnector(tx, request->connector()));
    if (deployment.active) RETURN_IF_ERROR(scheduler::CheckConnectorUsable(tx, deployment.connector_id));
  }
  if (request->has_deploy_date()) {
    ASSIGN_OR_RETURN(deployment.deploy_at, base::rpc::FromProto(request->deploy_date(), "deploy_date"));
  }
  if (request->has_job_deadline_seconds())
    deployment.job_deadline = absl::Seconds(request->job_deadline_seconds());
  RETURN_IF_ERROR(CheckDeadline(deployment.job_deadline));
  std::optional<int> wave_size, limit_percent;
  if (request->has_wave_size()) wave_size = request->wave_size();
  if (request->has_wave_failure_limit_percent()) limit_percent = request->wave_failure_limit_percent();
  RETURN_IF_ERROR(ReadWaves(wave_size, limit_percent, deployment.waves));
  RETURN_IF_ERROR(db::UpdateDeploymentPlan(tx, deployment));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.update", Name(id)}}));
  ASSIGN_OR_RETURN(deployment, Load(tx, id));
  *response->mutable_deployment() = ToProto(deployment);
  return absl::OkStatus();
}
END_RPC

grpc::Status DeploymentService::ActivateDeployment(grpc::ServerContext* context,
                                                   const v1::ActivateDeploymentRequest* request,
                                                   v1::ActivateDeploymentResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.deployment.v1.DeploymentService/ActivateDeployment",
      [&](const Caller& caller) -> absl::Status {
        RETURN_IF_ERROR(database_.InTransaction("ActivateDeployment", [&](db::Tx& tx) -> absl::Status {
          ASSIGN_OR_RETURN(db::DeploymentRecord deployment, Lock(tx, request->name()));
          const std::int64_t id = deployment.id;
          RETURN_IF_ERROR(scheduler::ActivateDeployment(tx, id));
          RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.activate", Name(id)}}));
          ASSIGN_OR_RETURN(deployment, Load(tx, id));
          *response->mutable_deployment() = ToProto(deployment);
          return absl::OkStatus();
        }));
        on_activated_();
        return absl::OkStatus();
      });
}

grpc::Status DeploymentService::ResumeDeployment(grpc::ServerContext* context,
                                                 const v1::ResumeDeploymentRequest* request,
                                                 v1::ResumeDeploymentResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.deployment.v1.DeploymentService/ResumeDeployment",
      [&](const Caller& caller) -> absl::Status {
        RETURN_IF_ERROR(database_.InTransaction("ResumeDeployment", [&](db::Tx& tx) -> absl::Status {
          ASSIGN_OR_RETURN(db::DeploymentRecord deployment, Lock(tx, request->name()));
          const std::int64_t id = deployment.id;
          ASSIGN_OR_RETURN(std::int64_t retried,
                           scheduler::ResumeDeployment(tx, id, request->retry_failed()));
          response->set_retried_jobs(retried);
          RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.resume", Name(id)}}));
          ASSIGN_OR_RETURN(deployment, Load(tx, id));
          *response->mutable_deployment() = ToProto(deployment);
          return absl::OkStatus();
        }));
        on_activated_();
        return absl::OkStatus();
      });
}

RPC(DeactivateDeployment) {
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, Lock(tx, request->name()));
  const std::int64_t id = deployment.id;
  ASSIGN_OR_RETURN(std::int64_t cancelled, scheduler::DeactivateDeployment(tx, id, request->cancel_jobs()));
  response->set_cancelled_jobs(cancelled);
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.deactivate", Name(id)}}));
  ASSIGN_OR_RETURN(deployment, Load(tx, id));
  *response->mutable_deployment() = ToProto(deployment);
  return absl::OkStatus();
}
END_RPC

RPC(DeleteDeployment) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(db::DeploymentRecord deployment, Lock(tx, request->name()));
  const std::int64_t id = deployment.id;
  ASSIGN_OR_RETURN(deployment, Load(tx, id));
  if (deployment.active || deployment.progress.unfinished() > 0) {
    return base::WithReason(absl::FailedPreconditionError(
                                "deactivate the deployment and let its jobs end, or cancel them, first"),
                            "DEPLOYMENT_ACTIVE");
  }
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "deployment.delete", Name(id)}}));
  return db::DeleteDeploymentWithJobs(tx, id);
}
END_RPC

grpc::Status DeploymentService::WatchProgress(grpc::ServerContext* context,
                                              const v1::WatchProgressRequest* request,
                                              grpc::ServerWriter<v1::WatchProgressResponse>* writer) {
  return base::rpc::Handle(
      context, "/phonepki.deployment.v1.DeploymentService/WatchProgress", [&](const Caller&) -> absl::Status {
        std::vector<std::int64_t> ids;
        for (const std::string& name : request->names()) {
          ASSIGN_OR_RETURN(std::int64_t id, IdOf(name, "names"));
          ids.push_back(id);
        }
        if (ids.empty()) return base::InvalidField("names", "NAMES_MISSING", "name at least one deployment");
        std::string last;
        while (!context->IsCancelled() && !stopping_) {
          v1::WatchProgressResponse response;
          absl::Status status = database_.InTransaction("WatchProgress", [&](db::Tx& tx) -> absl::Status {
            response.Clear();
            ASSIGN_OR_RETURN(auto deployments, base::WithField(db::GetDeployments(tx, ids), "names"));
            for (const auto& deployment : deployments) *response.add_deployments() = ToProto(deployment);
            return absl::OkStatus();
          });
          // A watcher outlives a restart of the database.
          if (!status.ok() && !absl::IsUnavailable(status)) return status;
          if (status.ok()) {
            bool finished = true;
            for (const v1::Deployment& deployment : response.deployments()) {
              finished &= deployment.state() != v1::Deployment::RUNNING &&
                          deployment.state() != v1::Deployment::SCHEDULED;
            }
            response.set_finished(finished);
            const std::string now = response.SerializeAsString();
            if (now != last && !writer->Write(response)) return absl::OkStatus();
            last = now;
            if (finished) return absl::OkStatus();
          }
          absl::SleepFor(kWatchInterval);
        }
        return stopping_ ? absl::UnavailableError("the server is stopping; watch again") : absl::OkStatus();
      });
}

}  // namespace phonepki::scheduler
