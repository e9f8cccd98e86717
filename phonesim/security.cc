#include <algorithm>
#include <cstdlib>

#include "phonesim/phone.h"

namespace phonesim {
namespace {

// The end of a PIN encrypts nothing: the phone tells it on the secure port.
constexpr std::size_t kTanLength = 3;
constexpr auto kTypingInterval = std::chrono::milliseconds(50);

}  // namespace

const char* Phone::SecurityMode() const {
  if (security_.access) return "secure";
  if (security_.sealed) return "awaiting-pin";
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
  for (const Item& item : message.items) {
    if (item.name == "goto-secure-mode") invitation = item.value;
  }
  const bool invited = !invitation.empty() && !security_.access, with_pin = invitation == "pin";
  SecureAccess access = security_.access ? *security_.access : SecureAccess();
  SealedAccess sealed;
  if (!security_.access) access.address = sealed.address = called_;
  int taken = 0, refused = 0;
  for (const Item& item : message.items) {
    std::string problem;
    if (item.name == "goto-secure-mode") {
      // A phone in secure mode has nowhere to go; what comes along renews what it has.
      if (!invited)
        problem = "unexpected item";
      else if (invitation != "nopin" && !with_pin)
        problem = "invalid data";
    } else if (item.name == "max-pin-retries") {
      sealed.max_retries = std::atoi(item.value.c_str());
      if (sealed.max_retries < 1) problem = "invalid data";
    } else if (item.name == "secure-mode-data") {
      sealed.data = item.value;
      if (!invited || !with_pin)
        problem = "unexpected item";
      else if (!LooksSealed(item.value))
        problem = "invalid data";
    } else if (IsSecurityItem(item.name)) {
      problem = security_.access || (invited && !with_pin) ? Apply(item, access) : "unexpected item";
      ++taken;
    } else {
      continue;
    }
    if (problem.empty()) continue;
    reply->items.push_back({item.name, item.index, "", problem});
    // In secure mode the invitation alone is refused.
    refused += item.name != "goto-secure-mode" || !security_.access;
  }
  if (refused > 0) return;
  if (invited && with_pin) {
    if (sealed.data.empty()) return reply->items.push_back({"secure-mode-data", "", "", "invalid data"});
    invited_ = Security{nullptr, nullptr, "", std::move(sealed)};
    return;
  }
  if (!invited && taken == 0) return;
  const std::string former = security_.access ? security_.access->client.sha256 : "";
  const auto completed = Completed(std::move(access), reply);
  if (!completed) return;
  if (invited) {
    invited_ = Security{nullptr, completed, "", std::nullopt};
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
  ++invitations_;
  bootstrapping_ = security_.candidates != nullptr;
  if (bootstrapping_) return Spawn(EnterSecureMode(security_.candidates));
  Record("awaiting_pin", {{"max_pin_retries", security_.sealed->max_retries}});
  Spawn(TypePins());
}

awaitable<void> Phone::TypePins() {
  auto self = shared_from_this();
  const int life = life_, invitation = invitations_;
  const Options& options = world_.options;
  for (std::size_t typed = 0;;) {
    std::vector<std::string> pins;
    // Not before it is asked for: PINs may be made while the fleet runs.
    if (!options.security_pin_file.empty()) pins = ReadPins(options.security_pin_file, mac_);
    if (pins.empty() && !options.security_pin.empty()) pins.push_back(options.security_pin);
    if (typed >= pins.size() && options.security_pin_file.empty()) co_return;
    co_await Sleep(options.pin_delay_seconds);
    // One after another, so that sockets get their turn while thousands of PINs are typed.
    const auto now = steady_clock::now();
    world_.next_typing = std::max(now, world_.next_typing) + kTypingInterval;
    co_await Sleep(std::chrono::duration<double>(world_.next_typing - now).count());
    if (life != life_ || invitation != invitations_ || !security_.sealed) co_return;
    if (typed < pins.size()) TypePin(pins[typed++]);
  }
}

bool Phone::TypePin(const std::string& pin) {
  if (!on_ || !security_.sealed) return false;
  SealedAccess& sealed = *security_.sealed;
  const std::size_t password = pin.size() > kTanLength ? pin.size() - kTanLength : 0;
  const auto items = password > 0 ? Unseal(sealed.data, pin.substr(0, password)) : std::nullopt;
  if (!items) {
    ++sealed.wrong;
    Record("pin_wrong", {{"wrong", sealed.wrong}, {"max_pin_retries", sealed.max_retries}});
    if (sealed.wrong >= sealed.max_retries) {
      Record("pin_retries_exceeded");
      security_.sealed.reset();
      Spawn(GiveUpPin());
    }
    SaveState();
    return true;
  }
  SecureAccess access;
  access.address = sealed.address;
  for (const Item& item : *items) Apply(item, access);
  Outgoing problems;
  const auto candidates = Completed(std::move(access), &problems);
  if (candidates) {
    Record("pin_right");
    security_ = {nullptr, candidates, pin.substr(password), std::nullopt};
    bootstrapping_ = true;
    Spawn(EnterSecureMode(candidates));
  } else {
    Record("bootstrapping_failed", {{"reason", "secure-mode-data lacks " + problems.items[0].name}});
    security_ = {};
  }
  SaveState();
  return true;
}

awaitable<void> Phone::GiveUpPin() {
  auto self = shared_from_this();
  const int life = life_;
  double wait = world_.options.retry_seconds;
  while (life == life_) {
    while (life == life_ && in_session_) co_await Sleep(0.02);
    if (life != life_) co_return;
    const bool told = co_await Session("clean-up");
    if (told || life != life_) break;
    co_await Sleep(wait);
    wait = std::min(wait * 1.5, 30.0);
  }
  if (life == life_ && solicited_again_) co_await Solicited();
}

awaitable<void> Phone::EnterSecureMode(std::shared_ptr<const SecureAccess> candidates) {
  auto self = shared_from_this();
  const int life = life_;
  double wait = world_.options.retry_seconds;
  bool done = false;
  for (int attempt = 1;; ++attempt) {
    while (life == life_ && in_session_) co_await Sleep(0.02);
    if (life == life_ && security_.candidates == candidates) done = co_await TryStartUp(candidates);
    if (life != life_) co_return;
    if (security_.candidates != candidates) break;  // proven, refused, or replaced
    if (std::exchange(done, false)) {
      Record("secure_connect_failed", {{"reason", "the server did not ask for the TAN"}});
    }
    if (attempt >= world_.options.secure_attempts) break;
    co_await Sleep(wait);
    if (life != life_) co_return;
    wait = std::min(wait * 1.5, 30.0);
  }
  if (security_.candidates && security_.candidates != candidates) co_return;  // another of these is at work
  bootstrapping_ = false;
  if (!done)
    co_await StartUp();
  else if (solicited_again_)
    co_await Solicited();
}

void Phone::ProveCandidates(const Incoming& message) {
  if (security_.candidates != proving_) return;
  for (const Item& item : message.items) {
    if (message.action != "CleanUp" || item.name != "cleanup-reason") continue;
    if (item.value != "wrong TAN from device") continue;
    Record("bootstrapping_failed", {{"reason", item.value}});
    security_ = {};
    return SaveState();
  }
  const bool with_pin = !security_.tan.empty();
  if (with_pin && !tan_told_) return;
  security_ = {proving_, nullptr, "", std::nullopt};
  SaveState();
  Record("secure_mode_entered",
         {{"serial", proving_->client.serial}, {"sha256", proving_->client.sha256}, {"pin", with_pin}});
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
  if (world_.options.poll_seconds > 0) Spawn(Poll());
  return true;
}

}  // namespace phonesim
