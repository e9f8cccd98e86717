#include "phonesim/phone.h"

#include <algorithm>
#include <cstdio>

#include "phonesim/addresses.h"

namespace phonesim {

std::string Phone::RandomNonce() {
  char text[33];
  std::snprintf(text, sizeof text, "%016llX%016llX", static_cast<unsigned long long>(random_()),
                static_cast<unsigned long long>(random_()));
  return text;
}

std::string Phone::NonceFor(bool first) {
  const std::string policy = nonces_by_policy_ ? world_.options.nonce_policy : "fresh";
  if (policy == "wrong" && !first) return "";
  if (policy != "constant" || first) nonce_ = RandomNonce();
  return nonce_;
}

std::pair<const char*, const char*> Phone::Model() const {
  switch (profile_) {
    case Profile::kV2R2:
      return {"OpenStage 60", "V2 R2.30.0"};
    case Profile::kCp:
      return {"OpenScape Desk Phone CP410", "V3 R5.12.0"};
    case Profile::kDeskPhoneIp:
      return {"OpenScape Desk Phone IP 55G", "V3 R5.1.0"};
    case Profile::kOptiPoint:
      return {"optiPoint 420 advance", ""};  // how it counts its firmware is not known
    case Profile::kV3R3:
      break;
  }
  return {"OpenStage 60", "V3 R5.1.0"};
}

Outgoing Phone::Initial(const std::string& reason, bool changed) const {
  const auto [type, firmware] = Model();
  Outgoing message;
  message.reason = reason;
  message.items = {{"device-type", "", type, ""},
                   {"related-device-type", "", type, ""},
                   {"software-type", "", "Siemens SIP", ""},
                   {"software-version", "", firmware, ""},
                   {"contact-me-uri", "",
                    "http://" + InUri(ip_) + ":" + std::to_string(world_.options.contact_port) +
                        "/contact_dls.html/ContactDLS",
                    ""},
                   {"mac-addr", "", mac_, ""},
                   {"configuration-changed-flag", "", changed ? "true" : "false", ""},
                   {"part-number", "", "S30817-S7403-A101-015", ""},
                   {"sip-mobility-state", "", "0", ""},
                   {"e164", "", e164_, ""},
                   {"basic-e164", "", e164_, ""},
                   {"user-pwd", "", "123456", ""},
                   {"user-pwd-unicode", "", "", "failed"},
                   {"mobility-enabled", "", "false", ""}};
  if (reason == "local-changes" && !is_old()) {
    message.items.push_back({"configuration-attached-flag", "", "true", ""});
    message.items.push_back({"configuration-attached-number", "", "1", ""});
    message.items.push_back(KeyLabel(1));
  }
  return message;
}

awaitable<void> Phone::Boot() {
  auto self = shared_from_this();
  Record("boot");
  if (world_.options.poll_seconds > 0) Spawn(Poll());
  if (security_.sealed) Spawn(TypePins());
  if (security_.candidates) {
    bootstrapping_ = true;
    co_await EnterSecureMode(security_.candidates);
  } else {
    co_await StartUp();
  }
}

awaitable<bool> Phone::TryStartUp(std::shared_ptr<const SecureAccess> candidates) {
  const int life = life_;
  while (world_.booting >= world_.options.startup_concurrency) co_await Sleep(0.02);
  ++world_.booting;
  bool done = false;
  if (life == life_) done = co_await Session("start-up", std::move(candidates));
  --world_.booting;
  co_return done;
}

awaitable<void> Phone::StartUp() {
  auto self = shared_from_this();
  const int life = life_;
  double wait = world_.options.retry_seconds;
  while (life == life_ && !bootstrapping_) {
    const bool done = co_await TryStartUp(nullptr);
    if (done || life != life_) break;
    co_await Sleep(wait);
    wait = std::min(wait * 1.5, 30.0);
  }
  if (life == life_ && solicited_again_) co_await Solicited();
}

awaitable<void> Phone::Solicited() {
  auto self = shared_from_this();
  const int life = life_;
  solicited_again_ = true;
  while (life == life_ && !in_session_ && !bootstrapping_ && solicited_again_) {
    solicited_again_ = false;
    co_await Session("solicited");
  }
}

awaitable<void> Phone::LocalChanges() {
  auto self = shared_from_this();
  const int life = life_;
  while (life == life_ && (in_session_ || bootstrapping_)) co_await Sleep(0.05);
  if (life != life_) co_return;
  co_await Session("local-changes");
  if (life == life_ && solicited_again_) co_await Solicited();
}

awaitable<bool> Phone::Session(std::string reason, std::shared_ptr<const SecureAccess> candidates) {
  if (in_session_ || !on_) co_return false;
  const int life = life_;
  in_session_ = true;
  invited_.reset();
  proving_ = candidates;
  tan_told_ = false;
  // What a session writes counts from the next one on.
  DlsClient::Route route;
  if (reason == "solicited") std::swap(route, call_back_to_);
  if (const auto access = candidates ? candidates : security_.access) {
    if (route.port == 0) route.port = access->port;
    if (route.address.empty()) route.address = access->address;
    route.mutual_tls = access->tls;
  }
  called_ = route.address;
  dls_.Take(std::move(route));
  const bool had_changed = std::exchange(changed_, false);
  const bool done = co_await Talk(std::move(reason), had_changed);
  if (life != life_) co_return false;
  changed_ |= had_changed && !done;
  dls_.Disconnect();
  in_session_ = false;
  if (done && invited_) AcceptInvitation();
  co_return done;
}

awaitable<bool> Phone::Talk(std::string reason, bool changed) {
  const int life = life_;
  const bool secure = proving_ || security_.access;
  Record("session_open", {{"reason", reason}, {"secure", secure}});
  Outgoing message = Initial(reason, changed);
  if (reason == "clean-up") {
    message.items.push_back({"cleanup-reason", "", "password retries exceeded", ""});
    Record("cleanup_sent");
  }
  // CP firmware sends a stale cookie of an earlier session along.
  if (profile_ != Profile::kCp) dls_.ForgetCookie();
  bool goes_on = true, answered = false;
  std::string failure;
  int tries = 0;
  while (goes_on) {
    const bool reply = message.reason == "reply-to";
    message.nonce = NonceFor(!reply);
    const bool foreign_cookie = reply && Chance(world_.options.foreign_cookie_share);
    if (foreign_cookie) Record("foreign_cookie");
    std::optional<std::string> answer;
    try {
      answer = co_await dls_.Post(Print(message), foreign_cookie);
    } catch (const boost::system::system_error& error) {
      if (life == life_) Record("connection_lost", {{"error", error.code().message()}, {"slow", slow_}});
      failure = error.what();
    }
    if (life != life_) co_return false;
    if (!answer) {
      dls_.Disconnect();
      if (++tries > 3) {
        if (secure && !answered) Record("secure_connect_failed", {{"reason", failure}});
        co_return false;
      }
      co_await Sleep(0.1 * tries);
      if (life != life_) co_return false;
      continue;
    }
    tries = 0;
    if (message.reason == "clean-up") co_return reason == "clean-up";  // whatever the server says
    const Incoming incoming = Parse(*answer);
    if (incoming.ok && incoming.nonce == message.nonce) {
      if (proving_) ProveCandidates(incoming);
      answered = true;
      message = Act(incoming, &goes_on);
      if (life != life_) co_return true;
      continue;
    }
    Record(incoming.ok ? "nonce_mismatch" : "garbage");
    if (secure && !answered) Record("secure_connect_failed", {{"reason", "not a message of a server"}});
    answered = true;
    message = {};
    message.reason = "clean-up";
    message.items = {{"cleanup-reason", "", "message not understood", ""}};
    Record("cleanup_sent");
  }
  co_return true;
}

}  // namespace phonesim
