#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "db/api_request_repository.h"
#include "db/audit_repository.h"
#include "db/plugin_repository.h"
#include "provisioning/pki/pki_service.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = pki::v1;

constexpr char kCollection[] = "plugins";

std::string Name(std::int64_t id) {
  return absl::StrCat("plugins/", id);
}

v1::Plugin ToProto(const db::PluginRecord& plugin) {
  v1::Plugin proto;
  proto.set_name(Name(plugin.id));
  proto.set_display_name(plugin.display_name);
  proto.set_description(plugin.description);
  proto.set_enabled(plugin.enabled);
  for (const auto& [name, value] : plugin.properties) {
    auto* property = proto.add_properties();
    property->set_name(name);
    property->set_value(value);
    if (!IsKnownProperty(name)) proto.add_unknown_properties(name);
  }
  for (const db::IssuingCaRecord& ca : plugin.issuing_cas) {
    auto* issuing = proto.add_issuing_cas();
    issuing->set_internal_ca(absl::StrCat("internalCas/", ca.ca_id));
    issuing->set_display_name(ca.display_name);
    issuing->set_state(!ca.exists   ? v1::IssuingCa::DELETED
                       : ca.enabled ? v1::IssuingCa::AVAILABLE
                                    : v1::IssuingCa::DISABLED);
  }
  *proto.mutable_create_time() = base::rpc::ToProto(plugin.created_at);
  return proto;
}

template <typename Repeated>
db::Properties FromProto(const Repeated& proto) {
  db::Properties properties;
  for (const auto& property : proto) properties.emplace_back(property.name(), property.value());
  return properties;
}

absl::Status Enable(db::Tx& tx, const db::PluginRecord& plugin) {
  RETURN_IF_ERROR(ReadPolicy(plugin.properties).status());
  return db::SetPluginEnabled(tx, plugin.id, true);
}

}  // namespace

absl::StatusOr<std::int64_t> ResolvePlugin(db::Tx& tx, const std::string& name, const std::string& field) {
  return base::rpc::ResolveName(
      name, kCollection, field,
      [&](const std::string& display_name) { return db::FindPluginByDisplayName(tx, display_name); },
      [&](std::int64_t id) { return db::GetPlugin(tx, id); });
}

#define RPC(name)                                                                                  \
  grpc::Status PluginService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                   v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.pki.v1.PluginService/" #name,                            \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status {                 \
      return database_.InTransaction(#name, [&](db::Tx& tx) -> absl::Status
#define END_RPC \
  );            \
  });           \
  }

RPC(CreatePlugin) {
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(request->display_name()));
  RETURN_IF_ERROR(base::rpc::CheckDescription(request->description()));
  ASSIGN_OR_RETURN(auto earlier, db::FindApiRequest(tx, "CreatePlugin", request->request_id()));
  std::int64_t id = earlier.value_or(0);
  if (!earlier) {
    const db::Properties properties = MergeProperties({}, FromProto(request->properties()));
    RETURN_IF_ERROR(CheckProperties(properties));
    ASSIGN_OR_RETURN(id, db::InsertPlugin(tx, request->display_name(), request->description()));
    RETURN_IF_ERROR(db::ReplacePluginProperties(tx, id, properties));
    if (request->synchronize()) RETURN_IF_ERROR(db::SynchronizePlugin(tx, id).status());
    if (request->enable()) {
      ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, id));
      RETURN_IF_ERROR(Enable(tx, plugin));
    }
    RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.create", Name(id)}}));
    RETURN_IF_ERROR(db::RecordApiRequest(tx, "CreatePlugin", request->request_id(), id));
  }
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, id));
  *response->mutable_plugin() = ToProto(plugin);
  return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
}
END_RPC

RPC(GetPlugin) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, id));
  *response->mutable_plugin() = ToProto(plugin);
  return absl::OkStatus();
}
END_RPC

RPC(ListPlugins) {
  ASSIGN_OR_RETURN(int size, base::rpc::PageSize(request->page_size()));
  ASSIGN_OR_RETURN(std::int64_t after, base::rpc::ReadIdPageToken(kCollection, request->page_token(), 0));
  ASSIGN_OR_RETURN(auto plugins, db::ListPlugins(tx, after, size));
  for (const auto& plugin : plugins) *response->add_plugins() = ToProto(plugin);
  if (static_cast<int>(plugins.size()) == size) {
    response->set_next_page_token(base::rpc::MakePageToken(kCollection, plugins.back().id));
  }
  return absl::OkStatus();
}
END_RPC

RPC(UpdatePlugin) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::LockPlugin(tx, id));
  if (request->has_display_name()) plugin.display_name = request->display_name();
  if (request->has_description()) plugin.description = request->description();
  RETURN_IF_ERROR(base::rpc::CheckDisplayName(plugin.display_name));
  RETURN_IF_ERROR(base::rpc::CheckDescription(plugin.description));
  RETURN_IF_ERROR(db::UpdatePlugin(tx, id, plugin.display_name, plugin.description));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.update", Name(id)}}));
  *response->mutable_plugin() = ToProto(plugin);
  return absl::OkStatus();
}
END_RPC

RPC(SetPluginProperties) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::LockPlugin(tx, id));
  plugin.properties = MergeProperties(plugin.properties, FromProto(request->set()),
                                      {request->remove().begin(), request->remove().end()});
  RETURN_IF_ERROR(CheckProperties(plugin.properties));
  if (plugin.enabled) RETURN_IF_ERROR(ReadPolicy(plugin.properties).status());
  RETURN_IF_ERROR(db::ReplacePluginProperties(tx, id, plugin.properties));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.set_properties", Name(id)}}));
  *response->mutable_plugin() = ToProto(plugin);
  return request->validate_only() ? db::DryRunEnd() : absl::OkStatus();
}
END_RPC

RPC(SynchronizePlugin) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  RETURN_IF_ERROR(db::LockPlugin(tx, id).status());
  ASSIGN_OR_RETURN(std::vector<std::string> added, db::SynchronizePlugin(tx, id));
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.synchronize", Name(id)}}));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::GetPlugin(tx, id));
  for (const std::string& name : added) response->add_added(name);
  for (const db::IssuingCaRecord& ca : plugin.issuing_cas) {
    if (!ca.enabled) response->add_missing(ca.display_name);
  }
  *response->mutable_plugin() = ToProto(plugin);
  return absl::OkStatus();
}
END_RPC

RPC(EnablePlugin) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::LockPlugin(tx, id));
  RETURN_IF_ERROR(Enable(tx, plugin));
  plugin.enabled = true;
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.enable", Name(id)}}));
  *response->mutable_plugin() = ToProto(plugin);
  return absl::OkStatus();
}
END_RPC

RPC(DisablePlugin) {
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  ASSIGN_OR_RETURN(db::PluginRecord plugin, db::LockPlugin(tx, id));
  ASSIGN_OR_RETURN(std::vector<std::string> affected, db::ListConnectorsOfPlugin(tx, id, true));
  if (!affected.empty() && !request->force()) {
    return base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                "enabled connectors use this plug-in: ", absl::StrJoin(affected, ", "),
                                "; disable them first, or force")),
                            "PLUGIN_IN_USE");
  }
  RETURN_IF_ERROR(db::SetPluginEnabled(tx, id, false));
  plugin.enabled = false;
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.disable", Name(id)}}));
  *response->mutable_plugin() = ToProto(plugin);
  for (const std::string& connector : affected) response->add_affected_connectors(connector);
  return absl::OkStatus();
}
END_RPC

RPC(DeletePlugin) {
  static_cast<void>(response);
  ASSIGN_OR_RETURN(std::int64_t id, ResolvePlugin(tx, request->name(), "name"));
  RETURN_IF_ERROR(db::LockPlugin(tx, id).status());
  ASSIGN_OR_RETURN(std::vector<std::string> users, db::ListConnectorsOfPlugin(tx, id, false));
  if (!users.empty()) {
    return base::WithReason(absl::FailedPreconditionError(
                                absl::StrCat("connectors name this plug-in: ", absl::StrJoin(users, ", "))),
                            "PLUGIN_IN_USE");
  }
  RETURN_IF_ERROR(db::AppendAudit(tx, {{caller.actor, "plugin.delete", Name(id)}}));
  return db::DeletePlugin(tx, id);
}
END_RPC

}  // namespace phonepki::provisioning
