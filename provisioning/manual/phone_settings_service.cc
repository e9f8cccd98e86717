#include "provisioning/manual/phone_settings_service.h"

#include "base/error.h"
#include "base/rpc/rpc.h"
#include "base/status_macros.h"
#include "provisioning/manual/selection_service.h"

namespace phonepki::provisioning {
namespace {

using base::rpc::Caller;
namespace v1 = deployment::v1;

constexpr std::pair<v1::VerificationLevel, const char*> kLevels[] = {
    {v1::NONE, kLevelNone}, {v1::TRUSTED, kLevelTrusted}, {v1::FULL, kLevelFull}};

void Fill(const CertificateSlot& slot, v1::ListVerificationServicesResponse::Service::Variant* variant) {
  variant->set_title(slot.title);
  const SettingItem& item = slot.settings.front();
  for (const auto& [level, word] : kLevels) {
    for (const auto& [known, value] : item.values) {
      if (known == word) variant->add_levels(level);
    }
  }
  for (const std::string& needed : slot.needs_ca) variant->add_needs_ca(needed);
  for (const SlotSupport& support : slot.supported_by) variant->add_supported_by(PrintSupport(support));
  variant->set_item(item.item);
  variant->set_confirmed(slot.confirmed);
}

}  // namespace

#define RPC(name)                                                                                         \
  grpc::Status PhoneSettingsService::name(grpc::ServerContext* context, const v1::name##Request* request, \
                                          v1::name##Response* response) {                                 \
    return base::rpc::Handle(context, "/phonepki.deployment.v1.PhoneSettingsService/" #name,                 \
                             [&]([[maybe_unused]] const Caller& caller) -> absl::Status
#define END_RPC \
  );            \
  }

RPC(ListVerificationServices) {
  static_cast<void>(request);
  for (const std::string& name : slots_.PolicyServices()) {
    auto* service = response->add_services();
    service->set_name(name);
    for (const CertificateSlot& slot : slots_.slots()) {
      if (slot.service == name) Fill(slot, service->add_variants());
    }
  }
  return absl::OkStatus();
}
END_RPC

RPC(SetVerificationPolicy) {
  ASSIGN_OR_RETURN(Selection selection, ReadSelection(database_, request->selection()));
  PhoneSettings::Verification wanted;
  wanted.service = request->service();
  for (const auto& [level, word] : kLevels) {
    if (request->level() == level) wanted.level = word;
  }
  if (wanted.level.empty()) return base::InvalidField("level", "LEVEL", "must be NONE, TRUSTED or FULL");
  wanted.server_certificates = request->server_certificates();
  wanted.override_reason = request->override_reason();
  wanted.validate_only = request->validate_only();
  ASSIGN_OR_RETURN(std::vector<DeviceOutcome> outcomes,
                   settings_.SetVerification(selection, wanted, caller.actor));
  Fill(outcomes, response);
  return absl::OkStatus();
}
END_RPC

RPC(SetOcspResponders) {
  ASSIGN_OR_RETURN(Selection selection, ReadSelection(database_, request->selection()));
  const std::vector<std::string> responders(request->responders().begin(), request->responders().end());
  ASSIGN_OR_RETURN(
      std::vector<DeviceOutcome> outcomes,
      settings_.SetOcsp(selection, request->check(), responders, request->validate_only(), caller.actor));
  Fill(outcomes, response);
  return absl::OkStatus();
}
END_RPC

}  // namespace phonepki::provisioning
