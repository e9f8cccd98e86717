#include <algorithm>
#include <string_view>

#include "phonesim/phone.h"

namespace phonesim {
namespace {

constexpr std::string_view kInfo = "-info";

Outgoing Accepted(const std::string& action) {
  Outgoing reply;
  reply.reason = "reply-to";
  reply.action = action;
  reply.status = "accepted";
  return reply;
}

}  // namespace

Outgoing Phone::Act(const Incoming& message, bool* goes_on) {
  *goes_on = message.action != "CleanUp" && message.action != "Restart";
  if (message.action == "CleanUp") CleanUp(message);
  if (message.action == "Restart") Restart(message);
  if (message.action == "WriteItems") return Write(message);
  if (message.action == "ReadItems") return Read(message);
  if (message.action == "ReadAllItems") return ReadAll();
  if (message.action == "GetNextFragment") return NextFragment();
  Outgoing reply = Accepted(message.action);
  reply.status = "failed";
  return reply;
}

void Phone::CleanUp(const Incoming& message) {
  bool again = false;
  for (const Item& item : message.items) again |= item.name == "send-solicited" && item.value == "true";
  Record("cleanup_received", {{"send_solicited", again}});
  if (!again || is_old()) return;
  (in_call_ ? call_back_ : solicited_again_) = true;
}

void Phone::Restart(const Incoming& message) {
  Record("restart");
  std::string type, password;
  for (const Item& item : message.items) {
    if (item.name == "restart-type") type = item.value;
    if (item.name == "restart-password") password = item.value;
  }
  // wpi.md 3.4
  const bool reset = type == "FactoryReset" && password == "124816";
  reset ? FactoryReset() : Reboot();
}

Outgoing Phone::ReadAll() {
  Record("read_all");
  fragments_.clear();
  for (const Item& item : Initial("", false).items) fragments_.push_back(item);
  for (const Item& item : storage_.Settings()) fragments_.push_back(item);
  for (int key = 1; key <= 46; ++key) fragments_.push_back(KeyLabel(key));
  return NextFragment();
}

Item Phone::KeyLabel(int key) const {
  const std::string changed =
      key == 1 && local_changes_ > 0 ? " changed " + std::to_string(local_changes_) + " times" : "";
  return {"key-label", std::to_string(key), "Key " + std::to_string(key) + changed, ""};
}

Outgoing Phone::NextFragment() {
  Outgoing reply = Accepted("ReadAllItems");
  const std::size_t size =
      Chance(world_.options.fragment_share) ? world_.options.fragment_size : fragments_.size();
  while (!fragments_.empty() && reply.items.size() < size) {
    reply.items.push_back(fragments_.front());
    fragments_.pop_front();
  }
  reply.fragment = fragments_.empty() ? "final" : "next";
  return reply;
}

Outgoing Phone::Write(const Incoming& message) {
  Outgoing reply = Accepted("WriteItems");
  if (in_call_) {
    Record("write_busy");
    reply.status = "busy";
    reply.item_list = false;
    return reply;
  }
  TakeSecurityItems(message, &reply);
  for (const Item& item : message.items) {
    if (IsSecurityItem(item.name)) continue;
    const std::string status = WriteItem(item);
    if (!status.empty()) reply.items.push_back({item.name, item.index, "", status});
  }
  return reply;
}

bool Phone::IsUnknown(const std::string& name) const {
  const auto& unknown = world_.options.unknown_items;
  // OCSP came with V3.
  const bool ocsp = name.rfind("ocsp-", 0) == 0 || name.rfind("ocsr-", 0) == 0;
  return (is_old() && ocsp) || std::find(unknown.begin(), unknown.end(), name) != unknown.end();
}

std::string Phone::WriteItem(const Item& item) {
  if (IsUnknown(item.name)) return "unknown item";
  if (item.name == "wbm-server-certificate") return WriteWebCertificate(item);
  if (Storage::IsSlot(item.name)) return WriteSlot(item);
  if (!Storage::IsSetting(item.name)) return "unknown item";
  storage_.WriteSetting(item);
  Record("setting_written", {{"item", item.name}, {"index", item.index}, {"value", item.value}});
  SaveState();
  return "";
}

std::string Phone::WriteWebCertificate(const Item& item) {
  if (item.value.empty() && !rejects_) {
    Record("write_deleted");
    Activate(world_.factory);
    return "";
  }
  std::optional<Credential> credential = OpenPkcs12(DecodeBase64(item.value), world_.options.wbm_passphrase);
  if (!credential || rejects_) {
    Record("write_rejected");
    return "invalid data";
  }
  Record("write", {{"serial", credential->serial}, {"sha256", credential->sha256}});
  if (world_.options.activation == "restart") {
    after_restart_ = std::move(credential);
  } else {
    Activate(std::move(*credential));
  }
  return "";
}

std::string Phone::WriteSlot(const Item& item) {
  const std::string problem =
      rejects_ ? "invalid data" : storage_.WriteSlot(item, world_.options.wbm_passphrase);
  if (!problem.empty()) {
    Record("write_rejected", {{"item", item.name}, {"index", item.index}});
    return problem;
  }
  nlohmann::ordered_json serials = nlohmann::ordered_json::array();
  const auto& certificates = *storage_.FindSlot(item.name, item.index);
  for (const CertificateFacts& one : certificates) serials.push_back(one.serial);
  Record("slot_written", {{"item", item.name},
                          {"index", item.index},
                          {"serial", certificates.empty() ? "" : certificates.front().serial},
                          {"sha256", certificates.empty() ? "" : certificates.front().sha256},
                          {"serials", serials}});
  SaveState();
  return "";
}

Outgoing Phone::Read(const Incoming& message) {
  Record("read");
  Outgoing reply = Accepted("ReadItems");
  for (const Item& item : message.items) reply.items.push_back(ReadItem(item));
  return reply;
}

Item Phone::ReadItem(const Item& wanted) {
  Item item{wanted.name, wanted.index, "", ""};
  if (wanted.name == "bootstrapping-tan" && proving_ && !security_.tan.empty()) {
    tan_told_ = true;
    item.value = security_.tan;
    return item;
  }
  const std::string slot = wanted.name.size() > kInfo.size() && wanted.name.ends_with(kInfo)
                               ? wanted.name.substr(0, wanted.name.size() - kInfo.size())
                               : "";
  const bool web = slot == "wbm-server-certificate";
  if (web || Storage::IsSlot(slot)) {
    const std::string& format = world_.options.info_format;
    if (format == "failed" || IsUnknown(slot)) item.status = "failed";
    if (format != "text" || !item.status.empty()) return item;
    if (web) item.value = InfoText(credential_);
    if (slot == "dls-client-certificate" && secure()) item.value = InfoText(security_.access->client);
    const auto* certificates = web ? nullptr : storage_.FindSlot(slot, wanted.index);
    if (certificates == nullptr) return item;
    for (const CertificateFacts& one : *certificates) {
      item.value += (item.value.empty() ? "" : "\n\n") + InfoText(one);
    }
    return item;
  }
  if (const std::string* setting = storage_.FindSetting(wanted.name, wanted.index)) {
    item.value = *setting;
    return item;
  }
  for (const Item& basic : Initial("", false).items) {
    if (basic.name == wanted.name && basic.index == wanted.index) return basic;
  }
  item.status = "failed";
  return item;
}

}  // namespace phonesim
