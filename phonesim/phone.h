// One simulated phone: what it is like, its life, and its side of the Workpoint Interface.
//   phone.cc       boot and certificate store      contact_me.cc  the port that the server knocks at
//   dialogue.cc    sessions with the server        web_server.cc  what the certificate is for
//   actions.cc     what the server may ask for
#pragma once

#include "phonesim/net.h"

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include <nlohmann/json.hpp>

#include "phonesim/dls_client.h"
#include "phonesim/door.h"
#include "phonesim/world.h"
#include "phonesim/wpi.h"

namespace phonesim {

class Phone : public std::enable_shared_from_this<Phone> {
 public:
  Phone(World& world, int number);

  const std::string& ip() const { return ip_; }

  // Throws boost::system::system_error when a port is taken.
  void Listen();
  // Start-up until the server has been reached once.
  awaitable<void> Boot();

 private:
  enum class Profile { kV3R3, kV2R2, kCp };

  // contact_me.cc
  awaitable<void> AnswerContactMe(Door::Connection connection);
  awaitable<void> Solicited();

  // web_server.cc
  awaitable<void> AnswerWeb(Door::Connection connection);

  // dialogue.cc
  // True when the server closed the session properly.
  awaitable<bool> Session(std::string reason);
  Outgoing Initial(const std::string& reason) const;
  std::string RandomNonce();
  // By the phone's policy: for the first message of a session, or for a later one.
  std::string NonceFor(bool first);

  // actions.cc
  // The reply to an action; false in `goes_on` for actions without a reply.
  Outgoing Act(const Incoming& message, bool* goes_on);
  void CleanUp(const Incoming& message);
  void Restart();
  Outgoing Write(const Incoming& message);
  Outgoing Read(const Incoming& message);
  Outgoing ReadAll();
  Outgoing NextFragment();

  // phone.cc
  void Activate(Credential credential);
  void LoadState();
  bool Chance(double share) { return share > 0 && std::uniform_real_distribution<>(0, 1)(random_) < share; }
  double Pace() const { return slow_ ? world_.options.slow_octets_per_second : 0; }
  void Record(const std::string& event, const nlohmann::ordered_json& more = {});

  World& world_;
  const int number_;
  const std::string ip_, mac_, e164_;
  std::mt19937_64 random_;
  Profile profile_;
  bool slow_, nonces_by_policy_, busy_once_, rejects_, late_;
  Door contact_door_, web_door_;
  DlsClient dls_;
  Credential credential_;
  std::optional<Credential> after_restart_;

  bool in_session_ = false, solicited_again_ = false, in_call_ = false, call_back_ = false;
  steady_clock::time_point last_callback_{}, last_contact_{}, call_end_{};
  std::string nonce_;
  std::deque<Item> fragments_;
};

}  // namespace phonesim
