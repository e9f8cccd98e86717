// gRPC adapters of deployments and job control.
#pragma once

#include <atomic>
#include <functional>

#include <absl/time/time.h>

#include "db/database.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"
#include "phonepki/job/v1/job.grpc.pb.h"
#include "provisioning/slots/slot_table.h"

namespace phonepki::scheduler {

#define PHONEPKI_RPC(ns, name) \
  grpc::Status name(grpc::ServerContext*, const ns::v1::name##Request*, ns::v1::name##Response*) override

class DeploymentService final : public deployment::v1::DeploymentService::Service {
 public:
  // `on_activated` wakes whoever starts deployments.
  DeploymentService(db::Database& database, const provisioning::SlotTable& slots,
                    absl::Duration default_job_deadline, std::function<void()> on_activated)
      : database_(database),
        slots_(slots),
        default_job_deadline_(default_job_deadline),
        on_activated_(std::move(on_activated)) {}
  // Ends the watch streams.
  void Stop() { stopping_ = true; }

  PHONEPKI_RPC(deployment, ListCertificateTypes);
  PHONEPKI_RPC(deployment, CreateDeployment);
  PHONEPKI_RPC(deployment, GetDeployment);
  PHONEPKI_RPC(deployment, ListDeployments);
  PHONEPKI_RPC(deployment, UpdateDeployment);
  PHONEPKI_RPC(deployment, ActivateDeployment);
  PHONEPKI_RPC(deployment, ResumeDeployment);
  PHONEPKI_RPC(deployment, DeactivateDeployment);
  PHONEPKI_RPC(deployment, DeleteDeployment);
  grpc::Status WatchProgress(grpc::ServerContext*, const deployment::v1::WatchProgressRequest*,
                             grpc::ServerWriter<deployment::v1::WatchProgressResponse>*) override;

 private:
  db::Database& database_;
  const provisioning::SlotTable& slots_;
  const absl::Duration default_job_deadline_;
  const std::function<void()> on_activated_;
  std::atomic<bool> stopping_{false};
};

class JobService final : public job::v1::JobService::Service {
 public:
  JobService(db::Database& database, std::function<void()> on_retried)
      : database_(database), on_retried_(std::move(on_retried)) {}
  void Stop() { stopping_ = true; }

  PHONEPKI_RPC(job, GetJob);
  PHONEPKI_RPC(job, ListJobs);
  PHONEPKI_RPC(job, CancelJob);
  PHONEPKI_RPC(job, RetryJob);
  PHONEPKI_RPC(job, RetryFailedJobs);
  grpc::Status WatchJobs(grpc::ServerContext*, const job::v1::WatchJobsRequest*,
                         grpc::ServerWriter<job::v1::WatchJobsResponse>*) override;

 private:
  db::Database& database_;
  const std::function<void()> on_retried_;
  std::atomic<bool> stopping_{false};
};

#undef PHONEPKI_RPC

}  // namespace phonepki::scheduler
