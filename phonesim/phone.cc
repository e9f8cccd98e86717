#include "phonesim/phone.h"

#include <cstdio>
#include <fstream>
#include <iterator>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

bool IsCp(const Options& options, int number) {
  return options.profile == "cp" || (options.profile == "mix" && number % 3 == 2);
}

bool IsV2(const Options& options, int number) {
  return options.profile == "v2r2" || (options.profile == "mix" && number % 3 == 1);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A crash leaves the former content or the new one.
void Replace(const std::string& path, const std::string& content) {
  std::ofstream(path + ".new") << content;
  std::rename((path + ".new").c_str(), path.c_str());
}

}  // namespace

Phone::Phone(World& world, int number)
    : world_(world),
      number_(number),
      ip_(AddressOf(world.options.first_address, number)),
      mac_(MacOf(world.options.first_mac, number)),
      e164_(std::to_string(world.options.e164_base + number)),
      random_(world.options.seed * 1000003 + number),
      profile_(IsCp(world.options, number)                ? Profile::kCp
               : IsV2(world.options, number)              ? Profile::kV2R2
               : world.options.profile == "desk-phone-ip" ? Profile::kDeskPhoneIp
               : world.options.profile == "optipoint"     ? Profile::kOptiPoint
                                                          : Profile::kV3R3),
      slow_(Chance(world.options.slow_share)),
      contact_door_(world.io, ip_, world.options.contact_port, Pace(),
                    [this](Door::Connection connection) { return AnswerContactMe(std::move(connection)); }),
      web_door_(world.io, ip_, world.options.web_port, Pace(),
                [this](Door::Connection connection) { return AnswerWeb(std::move(connection)); }),
      dls_(world, {ip_, number, profile_ == Profile::kCp, Pace()},
           [this](const char* when) {
             if (!Chance(world_.options.drop_share / 2)) return false;
             Record("drop", {{"when", when}});
             return true;
           }),
      credential_(world.factory) {
  nonces_by_policy_ = Chance(world.options.nonce_share);
  busy_once_ = Chance(world.options.busy_share);
  rejects_ = Chance(world.options.reject_share);
  late_ = Chance(world.options.offline_share);
  LoadState();
}

void Phone::Record(const std::string& event, const nlohmann::ordered_json& more) {
  world_.ledger.Record(mac_, ip_, event, more);
}

void Phone::Listen() {
  if (world_.options.poll_seconds == 0) contact_door_.Open();
  web_door_.Open();
}

void Phone::Start() {
  if (!late_) return Spawn(Boot());
  SwitchOff();
  Spawn(SwitchOnAfter(world_.options.offline_seconds));
}

bool Phone::SwitchOff() {
  ++life_;  // a reboot under way does not switch it on again
  if (!on_) return false;
  Record("offline");
  on_ = in_session_ = in_call_ = bootstrapping_ = false;
  solicited_again_ = call_back_ = false;  // of no use to a phone that starts up (wpi.md 4)
  contact_door_.Close();
  web_door_.Close();
  if (polling_) polling_->close();
  dls_.Disconnect();
  return true;
}

bool Phone::SwitchOn() {
  if (on_) return false;
  Listen();
  ++life_;
  on_ = true;
  if (after_restart_) Activate(*std::exchange(after_restart_, std::nullopt));
  Spawn(Boot());
  return true;
}

awaitable<void> Phone::SwitchOnAfter(double seconds) {
  auto self = shared_from_this();
  const int life = life_;
  co_await Sleep(seconds);
  if (life == life_) SwitchOn();
}

bool Phone::Reboot() {
  if (!on_) return false;
  SwitchOff();
  Spawn(SwitchOnAfter(world_.options.reboot_seconds));
  return true;
}

bool Phone::FactoryReset() {
  if (!on_) return false;
  Record("factory_reset");
  credential_ = world_.factory;
  after_restart_.reset();
  storage_ = {};
  security_ = {};
  local_changes_ = 0;
  changed_ = true;
  if (!world_.options.state_dir.empty()) std::remove(StateFile(".pem").c_str());
  SaveState();
  return Reboot();
}

bool Phone::StartCall(double seconds) {
  if (!on_ || in_call_) return false;
  in_call_ = true;
  ++calls_;
  Record("call_start");
  if (seconds > 0) Spawn(EndCallAfter(seconds));
  return true;
}

awaitable<void> Phone::EndCallAfter(double seconds) {
  auto self = shared_from_this();
  const int call = calls_;
  co_await Sleep(seconds);
  if (call == calls_) EndCall();
}

bool Phone::EndCall() {
  if (!in_call_) return false;
  in_call_ = false;
  Record("call_end");
  if (std::exchange(call_back_, false)) Spawn(Solicited());
  return true;
}

bool Phone::ChangeLocally() {
  if (!on_) return false;
  ++local_changes_;
  changed_ = true;
  Record("local_change");
  Spawn(LocalChanges());
  return true;
}

nlohmann::ordered_json Phone::Status() const {
  return {{"mac", mac_},
          {"ip", ip_},
          {"on", on_},
          {"in_call", in_call_},
          {"in_session", in_session_},
          {"security", SecurityMode()},
          {"client_serial", secure() ? security_.access->client.serial : ""},
          {"factory_certificate", has_factory_certificate()},
          {"serial", credential_.serial},
          {"subject", credential_.subject},
          {"not_after", credential_.not_after}};
}

void Phone::Activate(Credential credential) {
  credential_ = std::move(credential);
  Record("activated", {{"serial", credential_.serial},
                       {"sha256", credential_.sha256},
                       {"subject", credential_.subject},
                       {"not_after", credential_.not_after}});
  if (world_.options.state_dir.empty()) return;
  Replace(StateFile(".pem"), credential_.certificate_pem + credential_.key_pem);
}

std::string Phone::StateFile(const char* ending) const {
  return world_.options.state_dir + "/" + mac_ + ending;
}

void Phone::SaveState() const {
  if (world_.options.state_dir.empty()) return;
  Replace(StateFile(".json"),
          nlohmann::ordered_json{{"security", Save(security_)}, {"storage", storage_.Save()}}.dump());
}

void Phone::LoadState() {
  if (world_.options.state_dir.empty()) return;
  const std::string web = ReadFile(StateFile(".pem"));
  if (std::optional<Credential> kept = FromPem(web, web)) credential_ = std::move(*kept);
  const auto state = nlohmann::ordered_json::parse(ReadFile(StateFile(".json")), nullptr, false);
  if (!state.is_object()) return;
  if (const auto saved = state.find("security"); saved != state.end())
    security_ = LoadSecurity(*saved, profile_ == Profile::kCp);
  if (const auto saved = state.find("storage"); saved != state.end()) storage_.Load(*saved);
}

}  // namespace phonesim
