// gRPC adapters of devices and locations.
#pragma once

#include "db/database.h"
#include "phonepki/device/v1/device.grpc.pb.h"
#include "phonepki/device/v1/location.grpc.pb.h"
#include "provisioning/devices/placement.h"

namespace phonepki::provisioning {

#define PHONEPKI_RPC(name)                                                                               \
  grpc::Status name(grpc::ServerContext*, const device::v1::name##Request*, device::v1::name##Response*) \
      override

class DeviceService final : public device::v1::DeviceService::Service {
 public:
  DeviceService(db::Database& database, Placement& placement) : database_(database), placement_(placement) {}
  PHONEPKI_RPC(ImportDevices);
  PHONEPKI_RPC(GetDevice);
  PHONEPKI_RPC(ListDevices);
  PHONEPKI_RPC(DeleteDevice);

 private:
  db::Database& database_;
  Placement& placement_;
};

class LocationService final : public device::v1::LocationService::Service {
 public:
  LocationService(db::Database& database, Placement& placement)
      : database_(database), placement_(placement) {}
  PHONEPKI_RPC(CreateLocation);
  PHONEPKI_RPC(GetLocation);
  PHONEPKI_RPC(ListLocations);
  PHONEPKI_RPC(UpdateLocation);
  PHONEPKI_RPC(DeleteLocation);
  PHONEPKI_RPC(TryLocationRules);

 private:
  db::Database& database_;
  Placement& placement_;
};

#undef PHONEPKI_RPC

}  // namespace phonepki::provisioning
