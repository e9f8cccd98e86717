// gRPC adapter of manual certificate deployment.
#pragma once

#include "db/database.h"
#include "phonepki/deployment/v1/manual_deployment.grpc.pb.h"
#include "provisioning/manual/manual_deployment.h"

namespace phonepki::provisioning {

#define PHONEPKI_RPC(name)                                                      \
  grpc::Status name(grpc::ServerContext*, const deployment::v1::name##Request*, \
                    deployment::v1::name##Response*) override

class ManualDeploymentService final : public deployment::v1::ManualDeploymentService::Service {
 public:
  ManualDeploymentService(db::Database& database, ManualDeployment& manual)
      : database_(database), manual_(manual) {}
  PHONEPKI_RPC(ImportCertificates);
  PHONEPKI_RPC(ActivateCertificates);
  PHONEPKI_RPC(DeleteCertificates);

 private:
  db::Database& database_;
  ManualDeployment& manual_;
};

#undef PHONEPKI_RPC

}  // namespace phonepki::provisioning
