#include <algorithm>

#include "phonesim/phone.h"

namespace phonesim {

const char* Phone::SecurityMode() const {
  if (security_.access) return "secure";
  return bootstrapping_ ? "bootstrapping" : "default";
}

std::shared_ptr<const SecureAccess> Phone::Completed(SecureAccess access, Outgoing* reply) const {
  const std::string missing = Complete(access, profile_ == Profile::kCp);
  if (!missing.empty()) {
    reply->items.push_back({missing, missing == "dls-server-ca" ? "0" : "", "", "invalid data"});
    return nullptr;
  }
  return std::make_shared<const SecureAccess>(std::move(access));
}

void Phone::TakeSecurityItems(const Incoming& message, Outgoing* reply) {
  std::string invitation;
  bool any = false;
  SecureAccess access = security_.access ? *security_.access : SecureAccess();
  const std::string former = access.client.sha256;
  const std::size_t problems = reply->items.size();
  const auto refuse = [reply](const Item& item, const char* status) {
    reply->items.push_back({item.name, item.index, "", status});
  };
  for (const Item& item : message.items) {
    if (item.name == "goto-secure-mode") invitation = item.value;
  }
  for (const Item& item : message.items) {
    if (!IsSecurityItem(item.name)) continue;
    if (item.name == "goto-secure-mode") {
      // A phone in secure mode has nowhere to go; what comes along renews what it has.
      if (security_.access)
        refuse(item, "unexpected item");
      else if (item.value != "nopin")
        refuse(item, "invalid data");
    } else if (!security_.access && invitation.empty()) {
      refuse(item, "unexpected item");
    } else if (const std::string problem = Apply(item, access); !problem.empty()) {
      refuse(item, problem.c_str());
    } else {
      any = true;
    }
  }
  const bool wanted = security_.access ? any : !invitation.empty();
  if (!wanted || std::any_of(reply->items.begin() + problems, reply->items.end(),
                             [](const Item& item) { return item.status.rfind("invalid", 0) == 0; })) {
    return;
  }
  const auto completed = Completed(std::move(access), reply);
  if (!completed) return;
  if (!security_.access) {
    invited_ = Security{nullptr, completed};
    return;
  }
  security_.access = completed;
  SaveState();
  if (completed->client.sha256 == former) return;
  Record("slot_written", {{"item", "dls-client-certificate"},
                          {"index", ""},
                          {"serial", completed->client.serial},
                          {"sha256", completed->client.sha256}});
}

void Phone::AcceptInvitation() {
  security_ = *std::exchange(invited_, std::nullopt);
  SaveState();
  bootstrapping_ = true;
  Spawn(EnterSecureMode());
}

awaitable<void> Phone::EnterSecureMode() {
  auto self = shared_from_this();
  const int life = life_;
  const auto candidates = security_.candidates;
  double wait = world_.options.retry_seconds;
  bool done = false;
  for (int attempt = 1;; ++attempt) {
    done = co_await TryStartUp(candidates);
    if (life != life_) co_return;
    if (security_.access || attempt >= world_.options.secure_attempts) break;
    co_await Sleep(wait);
    if (life != life_) co_return;
    wait = std::min(wait * 1.5, 30.0);
  }
  bootstrapping_ = false;
  if (done && solicited_again_) co_await Solicited();
  if (!done) co_await StartUp();
}

void Phone::Entered(const std::shared_ptr<const SecureAccess>& candidates) {
  security_ = {candidates, nullptr};
  SaveState();
  Record("secure_mode_entered",
         {{"serial", candidates->client.serial}, {"sha256", candidates->client.sha256}});
}

bool Phone::ResetToDefaultSecurity() {
  if (!on_) return false;
  Record("default_security");
  ++life_;  // ends the session under way; the ports stay open
  in_session_ = bootstrapping_ = solicited_again_ = false;
  dls_.Disconnect();
  security_ = {};
  SaveState();
  Spawn(StartUp());
  return true;
}

}  // namespace phonesim
