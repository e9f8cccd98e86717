#include "phonesim/phone.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "phonesim/addresses.h"

namespace phonesim {
namespace {

bool IsCp(const Options& options, int number) {
  return options.profile == "cp" || (options.profile == "mix" && number % 3 == 2);
}

bool IsV2(const Options& options, int number) {
  return options.profile == "v2r2" || (options.profile == "mix" && number % 3 == 1);
}

}  // namespace

Phone::Phone(World& world, int number)
    : world_(world),
      number_(number),
      ip_(AddressOf(world.options.first_address, number)),
      mac_(MacOf(world.options.first_mac, number)),
      e164_(std::to_string(world.options.e164_base + number)),
      random_(world.options.seed * 1000003 + number),
      profile_(IsCp(world.options, number)   ? Profile::kCp
               : IsV2(world.options, number) ? Profile::kV2R2
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
  contact_door_.Open();
  web_door_.Open();
}

awaitable<void> Phone::Boot() {
  auto self = shared_from_this();
  if (late_) {
    late_ = false;
    Record("offline");
    contact_door_.Close();
    co_await Sleep(world_.options.offline_seconds);
    contact_door_.Open();
  }
  Record("boot");
  double wait = world_.options.retry_seconds;
  for (;;) {
    while (world_.booting >= world_.options.startup_concurrency) co_await Sleep(0.02);
    ++world_.booting;
    const bool done = co_await Session("start-up");
    --world_.booting;
    if (done) co_return;
    co_await Sleep(wait);
    wait = std::min(wait * 1.5, 30.0);
  }
}

void Phone::Activate(Credential credential) {
  credential_ = std::move(credential);
  Record("activated", {{"serial", credential_.serial},
                       {"sha256", credential_.sha256},
                       {"subject", credential_.subject},
                       {"not_after", credential_.not_after}});
  if (world_.options.state_dir.empty()) return;
  const std::string path = world_.options.state_dir + "/" + mac_ + ".pem";
  std::ofstream(path + ".new") << credential_.certificate_pem << credential_.key_pem;
  std::rename((path + ".new").c_str(), path.c_str());
}

void Phone::LoadState() {
  if (world_.options.state_dir.empty()) return;
  std::ifstream file(world_.options.state_dir + "/" + mac_ + ".pem");
  if (!file.is_open()) return;
  std::stringstream text;
  text << file.rdbuf();
  if (std::optional<Credential> kept = FromPem(text.str(), text.str())) credential_ = std::move(*kept);
}

}  // namespace phonesim
