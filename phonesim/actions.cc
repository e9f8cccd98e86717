#include "phonesim/phone.h"

namespace phonesim {
namespace {

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
  if (!again || profile_ == Profile::kV2R2) return;
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
    if (item.name != "wbm-server-certificate") {
      reply.items.push_back({item.name, item.index, "", "unknown item"});
      continue;
    }
    std::optional<Credential> credential =
        OpenPkcs12(DecodeBase64(item.value), world_.options.wbm_passphrase);
    if (!credential || rejects_) {
      Record("write_rejected");
      reply.items.push_back({item.name, "", "", "invalid data"});
      continue;
    }
    Record("write", {{"serial", credential->serial}, {"sha256", credential->sha256}});
    if (world_.options.activation == "restart") {
      after_restart_ = std::move(credential);
    } else {
      Activate(std::move(*credential));
    }
  }
  return reply;
}

Outgoing Phone::Read(const Incoming& message) {
  Record("read");
  Outgoing reply = Accepted("ReadItems");
  for (const Item& item : message.items) {
    if (item.name == "bootstrapping-tan" && proving_ && !security_.tan.empty()) {
      tan_told_ = true;
      reply.items.push_back({item.name, "", security_.tan, ""});
      continue;
    }
    const bool known = item.name == "wbm-server-certificate-info" && world_.options.info_format != "failed";
    if (!known) {
      reply.items.push_back({item.name, item.index, "", "failed"});
    } else if (world_.options.info_format == "none") {
      reply.items.push_back({item.name, "", "", ""});
    } else {
      reply.items.push_back({item.name, "", InfoText(credential_), ""});
    }
  }
  return reply;
}

}  // namespace phonesim
