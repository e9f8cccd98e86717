#include "phonesim/phone.h"

#include <cstdio>

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

Outgoing Phone::Initial(const std::string& reason) const {
  const bool v2 = profile_ == Profile::kV2R2;
  const std::string type = profile_ == Profile::kCp ? "OpenScape Desk Phone CP410" : "OpenStage 60";
  Outgoing message;
  message.reason = reason;
  message.items = {
      {"device-type", "", type, ""},
      {"related-device-type", "", type, ""},
      {"software-type", "", "Siemens SIP", ""},
      {"software-version", "",
       v2                         ? "V2 R2.30.0"
       : profile_ == Profile::kCp ? "V3 R5.12.0"
                                  : "V3 R5.1.0",
       ""},
      {"contact-me-uri", "",
       "http://" + ip_ + ":" + std::to_string(world_.options.contact_port) + "/contact_dls.html/ContactDLS",
       ""},
      {"mac-addr", "", mac_, ""},
      {"configuration-changed-flag", "", "false", ""},
      {"part-number", "", "S30817-S7403-A101-015", ""},
      {"sip-mobility-state", "", "0", ""},
      {"e164", "", e164_, ""},
      {"basic-e164", "", e164_, ""},
      {"user-pwd", "", "123456", ""},
      {"user-pwd-unicode", "", "", "failed"},
      {"mobility-enabled", "", "false", ""}};
  return message;
}

awaitable<bool> Phone::Session(std::string reason) {
  auto self = shared_from_this();
  if (in_session_) co_return false;
  in_session_ = true;
  Record("session_open", {{"reason", reason}});
  Outgoing message = Initial(reason);
  // CP firmware sends a stale cookie of an earlier session along.
  if (profile_ != Profile::kCp) dls_.ForgetCookie();
  bool done = false;
  int tries = 0;
  while (!done) {
    const bool reply = message.reason == "reply-to";
    const std::string nonce = message.nonce = NonceFor(!reply);
    const bool foreign_cookie = reply && Chance(world_.options.foreign_cookie_share);
    if (foreign_cookie) Record("foreign_cookie");
    const std::string body = Print(message);
    std::string answer;
    bool sent = false;
    try {
      answer = co_await dls_.Post(body, foreign_cookie);
      sent = true;
    } catch (const boost::system::system_error& error) {
      Record("connection_lost", {{"error", error.code().message()}, {"slow", slow_}});
      dls_.Disconnect();
    }
    if (!sent) {
      if (++tries > 3) break;
      co_await Sleep(0.1 * tries);
      continue;
    }
    tries = 0;
    if (message.reason == "clean-up") break;  // whatever the server says to it
    const Incoming incoming = Parse(answer);
    if (!incoming.ok || incoming.nonce != nonce) {
      Record(incoming.ok ? "nonce_mismatch" : "garbage");
      message = {};
      message.reason = "clean-up";
      message.items = {{"cleanup-reason", "", "message not understood", ""}};
      Record("cleanup_sent");
      continue;
    }
    bool goes_on = true;
    message = Act(incoming, &goes_on);
    done = !goes_on;
  }
  dls_.Disconnect();
  in_session_ = false;
  co_return done;
}

}  // namespace phonesim
