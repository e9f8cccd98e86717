// gRPC adapter of verification policies and OCSP responders.
#pragma once

#include "db/database.h"
#include "phonepki/deployment/v1/phone_settings.grpc.pb.h"
#include "provisioning/manual/phone_settings.h"

namespace phonepki::provisioning {

#define PHONEPKI_RPC(name)                                                      \
  grpc::Status name(grpc::ServerContext*, const deployment::v1::name##Request*, \
                    deployment::v1::name##Response*) override

class PhoneSettingsService final : public deployment::v1::PhoneSettingsService::Service {
 public:
  PhoneSettingsService(db::Database& database, const SlotTable& slots, PhoneSettings& settings)
      : database_(database), slots_(slots), settings_(settings) {}
  PHONEPKI_RPC(ListVerificationServices);
  PHONEPKI_RPC(SetVerificationPolicy);
  PHONEPKI_RPC(SetOcspResponders);

 private:
  db::Database& database_;
  const SlotTable& slots_;
  PhoneSettings& settings_;
};

#undef PHONEPKI_RPC

}  // namespace phonepki::provisioning
