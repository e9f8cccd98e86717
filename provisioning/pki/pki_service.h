// gRPC adapters of plug-in and connector configurations.
#pragma once

#include "base/clock.h"
#include "db/database.h"
#include "phonepki/pki/v1/connector.grpc.pb.h"
#include "phonepki/pki/v1/plugin.grpc.pb.h"
#include "provisioning/pki/issuance.h"

namespace phonepki::provisioning {

absl::StatusOr<std::int64_t> ResolvePlugin(db::Tx& tx, const std::string& name, const std::string& field);
absl::StatusOr<std::int64_t> ResolveConnector(db::Tx& tx, const std::string& name, const std::string& field);

#define PHONEPKI_RPC(name) \
  grpc::Status name(grpc::ServerContext*, const pki::v1::name##Request*, pki::v1::name##Response*) override

class PluginService final : public pki::v1::PluginService::Service {
 public:
  explicit PluginService(db::Database& database) : database_(database) {}
  PHONEPKI_RPC(CreatePlugin);
  PHONEPKI_RPC(GetPlugin);
  PHONEPKI_RPC(ListPlugins);
  PHONEPKI_RPC(UpdatePlugin);
  PHONEPKI_RPC(SetPluginProperties);
  PHONEPKI_RPC(SynchronizePlugin);
  PHONEPKI_RPC(EnablePlugin);
  PHONEPKI_RPC(DisablePlugin);
  PHONEPKI_RPC(DeletePlugin);

 private:
  db::Database& database_;
};

class ConnectorService final : public pki::v1::ConnectorService::Service {
 public:
  ConnectorService(db::Database& database, Issuance& issuance) : database_(database), issuance_(issuance) {}
  PHONEPKI_RPC(CreateConnector);
  PHONEPKI_RPC(GetConnector);
  PHONEPKI_RPC(ListConnectors);
  PHONEPKI_RPC(UpdateConnector);
  PHONEPKI_RPC(ImportTrustAnchor);
  PHONEPKI_RPC(TestConnector);
  PHONEPKI_RPC(EnableConnector);
  PHONEPKI_RPC(DisableConnector);
  PHONEPKI_RPC(DeleteConnector);

 private:
  db::Database& database_;
  Issuance& issuance_;
};

#undef PHONEPKI_RPC

}  // namespace phonepki::provisioning
