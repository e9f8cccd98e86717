// gRPC adapter of the administration of secure mode.
#pragma once

#include <functional>
#include <utility>

#include "base/clock.h"
#include "db/database.h"
#include "phonepki/security/v1/security.grpc.pb.h"
#include "provisioning/security/secure_credentials.h"
#include "provisioning/security/security_pins.h"

namespace phonepki::provisioning {

#define PHONEPKI_RPC(name)                                                                                   \
  grpc::Status name(grpc::ServerContext*, const security::v1::name##Request*, security::v1::name##Response*) \
      override

class SecurityService final : public security::v1::SecurityService::Service {
 public:
  SecurityService(db::Database& database, SecureCredentials& credentials, SecurityPins& pins,
                  const base::Clock& clock, std::function<void()> on_jobs)
      : database_(database),
        credentials_(credentials),
        pins_(pins),
        clock_(clock),
        on_jobs_(std::move(on_jobs)) {}
  PHONEPKI_RPC(CreateCredential);
  PHONEPKI_RPC(ListCredentials);
  PHONEPKI_RPC(ActivateCredential);
  PHONEPKI_RPC(DeleteCredential);
  PHONEPKI_RPC(GetPinPolicy);
  PHONEPKI_RPC(ViewDefaultPin);
  PHONEPKI_RPC(RotateDefaultPin);
  PHONEPKI_RPC(ViewDevicePin);
  PHONEPKI_RPC(RegenerateDevicePin);
  PHONEPKI_RPC(PrintPins);
  PHONEPKI_RPC(ListSecurityStates);
  PHONEPKI_RPC(ListSecurityEvents);
  PHONEPKI_RPC(ListSecureDevices);
  PHONEPKI_RPC(LeaveSecureMode);
  PHONEPKI_RPC(ReEnrolDevice);

 private:
  db::Database& database_;
  SecureCredentials& credentials_;
  SecurityPins& pins_;
  const base::Clock& clock_;
  std::function<void()> on_jobs_;  // there is work
};

#undef PHONEPKI_RPC

}  // namespace phonepki::provisioning
