#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "ca/internal_ca_service.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/deployment_repository.h"
#include "db/internal_ca_repository.h"
#include "db/plugin_repository.h"
#include "provisioning/pki/pki_service.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = pki::v1;

constexpr char kCollection[] = "connectors";

std::string Name(std::int64_t id) {
  return absl::StrCat("connectors/", id);
}

v1::Connector ToProto(const db::ConnectorRecord& connector) {
  v1::Connector proto;
  proto.set_name(Name(connector.id));
  proto.set_display_name(connector.display_name);
  proto.set_description(connector.description);
  proto.set_enabled(connector.enabled);
  if (connector.plugin_id) proto.set_plugin(absl::StrCat("plugins/", *connector.plugin_id));
  proto.set_plugin_display_name(connector.plugin_display_name);
  if (connector.issuing_ca_id) proto.set_issuing_ca(absl::StrCat("internalCas/", *connector.issuing_ca_id));
  proto.set_issuing_ca_display_name(connector.issuing_ca_display_name);
  if (!connector.trust_anchor.empty()) {
    *proto.mutable_trust_anchor() = ca::SummarizeCertificate(connector.trust_anchor, true);
  }
  for (const auto& [name, value] : connector.request_parameters) {
    auto* parameter = proto.add_request_parameters();
    parameter->set_name(name);
    parameter->set_value(value);
  }
  *proto.mutable_create_time() = base::rpc::ToProto(connector.created_at);
  return proto;
}

absl::Status Incomplete(const std::string& what) {
  return base::WithReason(absl::FailedPreconditionError(absl::StrCat("the connector needs ", what)),
                          "CONNECTOR_INCOMPLETE");
}

// B-032: another plug-in clears issuing CA and trust anchor.
absl::Status SelectPlugin(db::Tx& tx, const std::string& name, db::ConnectorRecord& connector) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, name, "plugin"));
  RETURN_IF_ERROR(db::GetPlugin(tx, id).status());
  if (connector.plugin_id == id) return absl::OkStatus();
  if (connector.enabled && connector.plugin_id) {
    return base::WithReason(
        absl::FailedPreconditionError("disable the connector before selecting another plug-in"),
        "CONNECTOR_ENABLED");
  }
  connector.plugin_id = id;
  connector.issuing_ca_id.reset();
  connector.trust_anchor.clear();
  return absl::OkStatus();
}

absl::Status SelectIssuingCa(db::Tx& tx, const std::string& name, db::ConnectorRecord& connector) {
  if (!connector.plugin_id) return Incomplete("a plug-in configuration before its issuing CA");
  ASSIGN_OR_RETURN(std::int64_t id, ca::ResolveInternalCa(tx, name, "issuing_ca"));
  if (connector.issuing_ca_id == id) return absl::OkStatus();
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, *connector.plugin_id));
  for (const db::IssuingCaRecord& ca : plugin.issuing_cas) {
    if (ca.ca_id != id || !ca.exists) continue;
    if (connector.enabled) {
      return base::WithReason(
          absl::FailedPreconditionError("disable the connector before selecting another CA"),
          "CONNECTOR_ENABLED");
    }
    connector.issuing_ca_id = id;
    connector.trust_anchor.clear();
    return absl::OkStatus();
  }
  return base::InvalidField(
      "issuing_ca", "ISSUING_CA_NOT_SYNCHRONIZED",
      absl::StrCat("the plug-in \"", plugin.display_name,
                   "\" does not offer this CA: enable the CA and synchronise the plug-in"));
}

// B-033: the anchor is the root of the issuing CA's chain, not the issuer.
absl::Status ImportAnchor(db::Tx& tx, db::ConnectorRecord& connector) {
  if (!connector.issuing_ca_id) return Incomplete("an issuing CA before its trust anchor");
  ASSIGN_OR_RETURN(db::InternalCaRecord ca, db::GetInternalCa(tx, *connector.issuing_ca_id));
  connector.trust_anchor = ca.chain.empty() ? ca.certificate : ca.chain.back();
  return absl::OkStatus();
}

absl::Status Enable(db::ConnectorRecord& connector) {
  if (!connector.plugin_id) return Incomplete("a plug-in configuration");
  if (!connector.issuing_ca_id) return Incomplete("an issuing CA");
  if (connector.trust_anchor.empty()) return Incomplete("a trust anchor: import it");
  connector.enabled = true;
  return absl::OkStatus();
}

template <typename Repeated>
absl::Status SetParameters(db::Tx& tx, const Repeated& set, const std::vector<std::string>& remove,
                           const db::ConnectorRecord& connector) {
  db::Properties changes;
  for (const auto& property : set) changes.emplace_back(property.name(), property.value());
  const db::Properties merged = MergeProperties(connector.request_parameters, changes, remove);
  db::Properties effective = merged;
  if (connector.plugin_id) {
    ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, *connector.plugin_id));
    effective = MergeProperties(plugin.properties, merged);
  }
  RETURN_IF_ERROR(CheckProperties(effective));
  return db::ReplaceRequestParameters(tx, connector.id, merged);
}

}  // namespace

absl::StatusOr<std::int64_t> ResolveConnector(db::Tx& tx, const std::string& name, const std::string& field) {
  return base::rpc::ResolveName(
      name, kCollection, field,
      [&](const std::string& display_name) { return db::FindConnectorByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetConnector(tx, id); });
}

#define RPC(name)                                                                                     \
  grpc::Status ConnectorService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                      v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.pki.v1.ConnectorService/" #name,                            \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status {                    \
      return database_.InTransaction(#name, [&](db::Tx& tx) -> absl::Status
#define END_RPC \
  );            \
  });           \
  }

RPC(CreateConnector) {
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(request->display_name()));
  RETURN_IF_ERROR(base::rpc::CheckDescription(request->description()));
  ASSIGN_OR_RETURN(auto earlier, db::FindApiRequest(tx, "CreateConnector", request->request_id()));
  std::int64_t id = earlier.value_or(0);
  if (!earlier) {
    db::ConnectorRecord connector;
    connector.display_name = request->display_name();
    connector.description = request->description();
    ASSIGN_OR_RETURN(id, db::InsertConnector(tx, connector));
    connector.id = id;
    if (!request->plugin().empty()) RETURN_IF_ERROR(SelectPlugin(tx, request->plugin(), connector));
    if (!request->issuing_ca().empty())
      RETURN_IF_ERROR(SelectIssuingCa(tx, request->issuing_ca(), connector));
    if (request->import_trust_anchor()) RETURN_IF_ERROR(ImportAnchor(tx, connector));
    if (request->enable()) RETURN_IF_ERROR(Enable(connector));
    RETURN_IF_ERROR(db::UpdateConnector(tx, connector));
    RETURN_IF_ERROR(SetParameters(tx, request->request_parameters(), {}, connector));
    RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.create", Name(id)}}));
    RETURN_IF_ERROR(db::RecordApiRequest(tx, "CreateConnector", request->request_id(), id));
  }
  ASSIGN_OR_RETURN(db::ConnectorRecord stored, db::GetConnector(tx, id));
  *response->mutable_connector() = ToProto(stored);
  return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
}
END_RPC

RPC(GetConnector) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::GetConnector(tx, id));
  *response->mutable_connector() = ToProto(connector);
  return absl::OkStatus();
}
END_RPC

RPC(ListConnectors) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t after, base::rpc::ReadIdPageToken(kCollection, request->page_token(), 0));
  ASSIGN_OR_RETURN(auto connectors, db::ListConnectors(tx, after, size));
  for (const auto& connector : connectors) *response->add_connectors() = ToProto(connector);
  if (static_cast<int>(connectors.size()) == size) {
    response->set_next_page_token(base::rpc::MakePageToken(kCollection, connectors.back().id));
  }
  return absl::OkStatus();
}
END_RPC

RPC(UpdateConnector) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::LockConnector(tx, id));
  if (request->has_display_name()) connector.display_name = request->display_name();
  if (request->has_description()) connector.description = request->description();
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(connector.display_name));
  RETURN_IF_ERROR(base::rpc::CheckDescription(connector.description));
  if (request->has_plugin()) RETURN_IF_ERROR(SelectPlugin(tx, request->plugin(), connector));
  if (request->has_issuing_ca()) RETURN_IF_ERROR(SelectIssuingCa(tx, request->issuing_ca(), connector));
  RETURN_IF_ERROR(db::UpdateConnector(tx, connector));
  RETURN_IF_ERROR(SetParameters(
      tx, request->set_request_parameters(),
      {request->remove_request_parameters().begin(), request->remove_request_parameters().end()}, connector));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.update", Name(id)}}));
  ASSIGN_OR_RETURN(db::ConnectorRecord stored, db::GetConnector(tx, id));
  *response->mutable_connector() = ToProto(stored);
  return absl::OkStatus();
}
END_RPC

RPC(ImportTrustAnchor) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::LockConnector(tx, id));
  RETURN_IF_ERROR(ImportAnchor(tx, connector));
  RETURN_IF_ERROR(db::UpdateConnector(tx, connector));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.import_trust_anchor", Name(id)}}));
  *response->mutable_connector() = ToProto(connector);
  return absl::OkStatus();
}
END_RPC

RPC(EnableConnector) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::LockConnector(tx, id));
  RETURN_IF_ERROR(Enable(connector));
  RETURN_IF_ERROR(db::UpdateConnector(tx, connector));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.enable", Name(id)}}));
  *response->mutable_connector() = ToProto(connector);
  return absl::OkStatus();
}
END_RPC

RPC(DisableConnector) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::ConnectorRecord connector, db::LockConnector(tx, id));
  ASSIGN_OR_RETURN(std::vector<std::string> affected, db::ListActiveDeploymentsOfConnector(tx, id));
  if (!affected.empty() && !request->force()) {
    return base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                "active deployments issue through this connector: ",
                                absl::StrJoin(affected, ", "), "; deactivate them first, or force")),
                            "CONNECTOR_IN_USE");
  }
  connector.enabled = false;
  RETURN_IF_ERROR(db::UpdateConnector(tx, connector));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.disable", Name(id)}}));
  *response->mutable_connector() = ToProto(connector);
  for (const std::string& deployment : affected) response->add_affected_deployments(deployment);
  return absl::OkStatus();
}
END_RPC

RPC(DeleteConnector) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(std::int64_t id, ResolveConnector(tx, request->name(), "name"));
  RETURN_IF_ERROR(db::LockConnector(tx, id).status());
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "connector.delete", Name(id)}}));
  absl::Status status = db::DeleteConnector(tx, id);
  if (!absl::IsFailedPrecondition(status)) return status;
  return base::WithReason(
      absl::FailedPreconditionError(
          "deployments or credentials of secure mode name this connector; delete them first"),
      "CONNECTOR_IN_USE");
}
END_RPC

grpc::Status ConnectorService::TestConnector(grpc::ServerContext* context,
                                             const v1::TestConnectorRequest* request,
                                             v1::TestConnectorResponse* response) {
  return base::rpc::Handle(
      context, "/phonepki.pki.v1.ConnectorService/TestConnector", [&](const Caller& caller) -> absl::Status {
        ASSIGN_OR_RETURN(std::int64_t id, database_.InTransactionReturning("TestConnector", [&](db::Tx& tx) {
          return ResolveConnector(tx, request->name(), "name");
        }));
        absl::StatusOr<ConnectorTestResult> result = issuance_.Test(id, caller.actor);
        if (absl::IsNotFound(result.status()) || absl::IsUnavailable(result.status())) return result.status();
        response->set_success(result.ok());
        if (!result.ok()) {
          response->set_reason(base::ReasonOf(result.status()));
          response->set_message(std::string(result.status().message()));
          return absl::OkStatus();
        }
        response->set_message("a certificate was issued, verified and thrown away");
        *response->mutable_certificate() = ca::SummarizeCertificate(result->certificate, false);
        response->set_duration_micros(absl::ToInt64Microseconds(result->duration));
        return absl::OkStatus();
      });
}

}  // namespace phonepki::provisioning
