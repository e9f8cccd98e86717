#include <algorithm>
#include <iterator>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "db/audit_repository.h"
#include "db/deployment_repository.h"
#include "db/device_repository.h"
#include "db/job_repository.h"
#include "scheduler/scheduler_service.h"

namespace phonepki::scheduler {
namespace {

using base::rpc::Caller;
namespace v1 = job::v1;

constexpr absl::Duration kWatchInterval = absl::Milliseconds(300);
constexpr int kWatchPage = 500;
constexpr char kCollection[] = "jobs";

constexpr struct {
  v1::JobState state;
  const char* name;
} kStates[] = {{v1::SCHEDULED, db::job_state::kScheduled}, {v1::WAITING, db::job_state::kWaiting},
               {v1::RUNNING, db::job_state::kRunning},     {v1::DEFERRED, db::job_state::kDeferred},
               {v1::VERIFYING, db::job_state::kVerifying}, {v1::SUCCEEDED, db::job_state::kSucceeded},
               {v1::FAILED, db::job_state::kFailed},       {v1::TIMED_OUT, db::job_state::kTimedOut},
               {v1::CANCELLED, db::job_state::kCancelled}, {v1::SUPERSEDED, db::job_state::kSuperseded},
               {v1::HALTED, db::job_state::kHalted}};

v1::JobState StateOf(const std::string& name) {
  for (const auto& known : kStates) {
    if (name == known.name) return known.state;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

v1::Job ToProto(const db::JobRecord& job) {
  v1::Job proto;
  proto.set_name(absl::StrCat("jobs/", job.id));
  if (job.deployment_id != 0) proto.set_deployment(absl::StrCat("deployments/", job.deployment_id));
  proto.set_device(absl::StrCat("devices/", job.mac));
  proto.set_location(absl::StrCat("locations/", job.location_id));
  proto.set_slot(job.slot);
  proto.set_state(StateOf(job.state));
  proto.set_reason(job.reason);
  proto.set_reason_text(job.reason_text);
  proto.set_attempt(job.attempt);
  if (job.certificate_id) proto.set_certificate(absl::StrCat("certificates/", *job.certificate_id));
  *proto.mutable_create_time() = base::rpc::ToProto(job.created_at);
  if (!job.finished_at) *proto.mutable_next_run_time() = base::rpc::ToProto(job.run_at);
  *proto.mutable_deadline() = base::rpc::ToProto(job.deadline);
  if (job.finished_at) *proto.mutable_finish_time() = base::rpc::ToProto(*job.finished_at);
  return proto;
}

v1::JobEvent ToProto(const db::JobEventRecord& event) {
  v1::JobEvent proto;
  *proto.mutable_time() = base::rpc::ToProto(event.at);
  proto.set_from_state(StateOf(event.from_state));
  proto.set_to_state(StateOf(event.to_state));
  proto.set_reason(event.reason);
  proto.set_reason_text(event.reason_text);
  proto.set_attempt(event.attempt);
  return proto;
}

absl::Status JobFinal(const std::string& text) {
  return base::WithReason(absl::FailedPreconditionError(text), "JOB_FINAL");
}

}  // namespace

#define RPC(name)                                                                               \
  grpc::Status JobService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.job.v1.JobService/" #name,                            \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status {              \
      return database_.InTransaction(#name, [&](db::Tx& tx) -> absl::Status
#define END_RPC \
  );            \
  });           \
  }

RPC(GetJob) {
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCollection, "name"));
  ASSIGN_OR_RETURN(db::JobRecord job, base::WithField(db::GetJob(tx, id), "name"));
  *response->mutable_job() = ToProto(job);
  ASSIGN_OR_RETURN(std::vector<db::JobEventRecord> events, db::ListJobEvents(tx, id));
  for (const db::JobEventRecord& event : events) *response->mutable_job()->add_history() = ToProto(event);
  return absl::OkStatus();
}
END_RPC

RPC(ListJobs) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t before, base::rpc::ReadIdPageToken(kCollection, request->page_token(),
                                                                   std::numeric_limits<std::int64_t>::max()));
  db::JobFilter filter;
  if (!request->deployment().empty()) {
    ASSIGN_OR_RETURN(filter.deployment_id,
                     base::rpc::ParseId(request->deployment(), "deployments", "deployment"));
  }
  if (!request->device().empty()) {
    ASSIGN_OR_RETURN(std::string mac, base::rpc::ParseDeviceName(request->device(), "device"));
    ASSIGN_OR_RETURN(db::DeviceRecord device, base::WithField(db::GetDeviceByMac(tx, mac), "device"));
    filter.device_id = device.id;
  }
  for (int state : request->states()) {
    const auto* known = std::find_if(std::begin(kStates), std::end(kStates),
                                     [&](const auto& candidate) { return candidate.state == state; });
    if (known == std::end(kStates))
      return base::InvalidField("states", "JOB_STATE", "must be a state that a job can be in");
    filter.states.push_back(known->name);
  }
  filter.reason = request->reason();
  ASSIGN_OR_RETURN(std::vector<db::JobRecord> jobs, db::ListJobs(tx, filter, before, size));
  for (const db::JobRecord& job : jobs) *response->add_jobs() = ToProto(job);
  if (static_cast<int>(jobs.size()) == size) {
    response->set_next_page_token(base::rpc::MakePageToken(kCollection, jobs.back().id));
  }
  return absl::OkStatus();
}
END_RPC

RPC(CancelJob) {
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCollection, "name"));
  RETURN_IF_ERROR(base::WithField(db::GetJob(tx, id), "name").status());
  ASSIGN_OR_RETURN(bool cancelled, db::CancelJob(tx, id, absl::StrCat("cancelled by ", caller.actor)));
  if (!cancelled) return JobFinal("the job has ended already");
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "job.cancel", request->name()}}));
  ASSIGN_OR_RETURN(db::JobRecord job, db::GetJob(tx, id));
  *response->mutable_job() = ToProto(job);
  return absl::OkStatus();
}
END_RPC

RPC(RetryJob) {
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->name(), kCollection, "name"));
  RETURN_IF_ERROR(base::WithField(db::GetJob(tx, id), "name").status());
  ASSIGN_OR_RETURN(bool retried, db::RetryJob(tx, id));
  if (!retried) {
    return JobFinal(
        "only failed, timed-out and cancelled jobs can be retried, and only while the phone has no other "
        "unfinished job for the slot");
  }
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "job.retry", request->name()}}));
  ASSIGN_OR_RETURN(db::JobRecord job, db::GetJob(tx, id));
  *response->mutable_job() = ToProto(job);
  on_retried_();
  return absl::OkStatus();
}
END_RPC

RPC(RetryFailedJobs) {
  ASSIGN_OR_RETURN(std::int64_t id, base::rpc::ParseId(request->deployment(), "deployments", "deployment"));
  RETURN_IF_ERROR(base::WithField(db::FindDeployment(tx, id), "deployment").status());
  ASSIGN_OR_RETURN(std::int64_t retried, db::RetryFailedJobs(tx, id));
  response->set_retried(retried);
  on_retried_();
  return db::AppendAudit(tx, {{caller.actor, "job.retry_failed", request->deployment()}});
}
END_RPC

grpc::Status JobService::WatchJobs(grpc::ServerContext* context, const v1::WatchJobsRequest* request,
                                   grpc::ServerWriter<v1::WatchJobsResponse>* writer) {
  return base::rpc::Handle(
      context, "/phonepki.job.v1.JobService/WatchJobs", [&](const Caller&) -> absl::Status {
        std::optional<std::int64_t> deployment;
        if (!request->deployment().empty()) {
          ASSIGN_OR_RETURN(deployment,
                           base::rpc::ParseId(request->deployment(), "deployments", "deployment"));
        }
        std::string cursor = request->cursor();
        while (!context->IsCancelled() && !stopping_) {
          absl::StatusOr<db::JobEventPage> page = database_.InTransactionReturning(
              "WatchJobs", [&](db::Tx& tx) { return db::ReadJobEvents(tx, deployment, cursor, kWatchPage); });
          if (!page.ok() && !absl::IsUnavailable(page.status())) return page.status();
          if (page.ok()) {
            for (const db::JobEventRecord& event : page->events) {
              v1::WatchJobsResponse response;
              response.set_job(absl::StrCat("jobs/", event.job_id));
              response.set_device(absl::StrCat("devices/", event.mac));
              *response.mutable_event() = ToProto(event);
              response.set_cursor(absl::StrCat(event.xact, ":", event.id));
              if (!writer->Write(response)) return absl::OkStatus();
            }
            cursor = page->cursor;
            if (static_cast<int>(page->events.size()) == kWatchPage) continue;
          }
          absl::SleepFor(kWatchInterval);
        }
        return stopping_ ? absl::UnavailableError("the server is stopping; resume with your cursor")
                         : absl::OkStatus();
      });
}

}  // namespace phonepki::scheduler
