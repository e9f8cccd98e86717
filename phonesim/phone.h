// One simulated phone: what it is like, its life, and its side of the Workpoint Interface.
//   phone.cc     on and off, calls, certificate store    contact_me.cc  the port that the server knocks at
//   dialogue.cc  sessions with the server                web_server.cc  what the certificate is for
//   actions.cc   what the server may ask for             security.cc    into secure mode and out of it
//   polling.cc   asking the server, for phones that nobody can knock at
// Switching off ends everything that is under way: coroutines remember the life in which they began, and stop
// when it is over.
#pragma once

#include "phonesim/net.h"

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "phonesim/dls_client.h"
#include "phonesim/door.h"
#include "phonesim/secure_mode.h"
#include "phonesim/storage.h"
#include "phonesim/world.h"
#include "phonesim/wpi.h"

namespace phonesim {

class Phone : public std::enable_shared_from_this<Phone> {
 public:
  Phone(World& world, int number);

  const std::string& ip() const { return ip_; }
  const std::string& mac() const { return mac_; }

  // Opens the ports. Throws boost::system::system_error when one is taken.
  void Listen();
  // The first boot; late phones stay off for a while.
  void Start();

  // What happens to a phone. False when it cannot: a phone that is off does not reboot.

  // Closes the ports and drops all connections.
  bool SwitchOff();
  bool SwitchOn();
  bool Reboot();
  // Somebody types it. False when the phone does not ask for one.
  bool TypePin(const std::string& pin);
  // Forgets secure mode and calls the server in default mode.
  bool ResetToDefaultSecurity();
  // Certificate and state are those of a new phone. Reboots.
  bool FactoryReset();
  // Refuses writes until EndCall(), or for so many seconds if there are any.
  bool StartCall(double seconds);
  bool EndCall();
  // Somebody changes a setting at the phone, which tells the server.
  bool ChangeLocally();

  bool on() const { return on_; }
  bool in_call() const { return in_call_; }
  bool in_session() const { return in_session_; }
  bool awaiting_pin() const { return security_.sealed.has_value(); }
  bool secure() const { return security_.access != nullptr; }
  bool has_factory_certificate() const { return credential_.sha256 == world_.factory.sha256; }
  nlohmann::ordered_json Status() const;

 private:
  enum class Profile { kV3R3, kV2R2, kCp, kDeskPhoneIp, kOptiPoint };

  // contact_me.cc
  awaitable<void> AnswerContactMe(Door::Connection connection);
  // Where the next call goes, if the request names a server; false when the phone will not call there.
  bool TakeCallAddress(const std::string& request);

  // polling.cc
  // Until the phone is switched off.
  awaitable<void> Poll();
  // Should it call the server?
  awaitable<bool> AskForContact();

  // web_server.cc
  awaitable<void> AnswerWeb(Door::Connection connection);

  // dialogue.cc
  awaitable<void> Boot();
  // Start-up until the server has been reached once.
  awaitable<void> StartUp();
  // One attempt; not too many phones at a time. Nothing but secure mode's candidates go to the secure port.
  awaitable<bool> TryStartUp(std::shared_ptr<const SecureAccess> candidates);
  // One session; another one when the server asks for it, or when it is asked for meanwhile.
  awaitable<void> Solicited();
  awaitable<void> LocalChanges();
  // True when the server closed the session properly.
  awaitable<bool> Session(std::string reason, std::shared_ptr<const SecureAccess> candidates = nullptr);
  awaitable<bool> Talk(std::string reason, bool changed);
  // Device type and firmware.
  std::pair<const char*, const char*> Model() const;
  Outgoing Initial(const std::string& reason, bool changed) const;
  Item KeyLabel(int key) const;
  std::string RandomNonce();
  // By the phone's policy: for the first message of a session, or for a later one.
  std::string NonceFor(bool first);

  // Before V3: no send-solicited, no OCSP, no local changes along with the message.
  bool is_old() const { return profile_ == Profile::kV2R2 || profile_ == Profile::kOptiPoint; }

  // actions.cc
  // The reply to an action; false in `goes_on` for actions without a reply.
  Outgoing Act(const Incoming& message, bool* goes_on);
  void CleanUp(const Incoming& message);
  void Restart(const Incoming& message);
  Outgoing Write(const Incoming& message);
  // The status of the item in the reply; empty: taken.
  std::string WriteItem(const Item& item);
  std::string WriteWebCertificate(const Item& item);
  std::string WriteSlot(const Item& item);
  Outgoing Read(const Incoming& message);
  // With value or status.
  Item ReadItem(const Item& wanted);
  // Items that this firmware does not have.
  bool IsUnknown(const std::string& name) const;
  Outgoing ReadAll();
  Outgoing NextFragment();

  // security.cc
  std::shared_ptr<const SecureAccess> Completed(SecureAccess access, Outgoing* reply) const;
  // Items of secure mode: an invitation to it in default mode, a renewal in secure mode.
  void TakeSecurityItems(const Incoming& message, Outgoing* reply);
  void AcceptInvitation();
  // Tries the candidates on the secure port; after some failures the phone goes on in default mode.
  awaitable<void> EnterSecureMode(std::shared_ptr<const SecureAccess> candidates);
  // The session with these candidates got a message: it may prove them.
  void ProveCandidates(const Incoming& message);
  // Somebody who knows the PINs of the options types them.
  awaitable<void> TypePins();
  // Tells the server that there were too many wrong ones.
  awaitable<void> GiveUpPin();
  const char* SecurityMode() const;

  // phone.cc
  template <typename Coroutine>
  void Spawn(Coroutine coroutine) {
    asio::co_spawn(world_.io, std::move(coroutine), asio::detached);
  }
  awaitable<void> SwitchOnAfter(double seconds);
  awaitable<void> EndCallAfter(double seconds);
  void Activate(Credential credential);
  std::string StateFile(const char* ending) const;
  void LoadState();
  // All but the certificate of the web server, which has a file of its own.
  void SaveState() const;
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
  Storage storage_;
  Security security_;
  std::optional<Security> invited_;              // by this session: valid when the server closes it properly
  std::shared_ptr<const SecureAccess> proving_;  // the candidates that this session uses
  bool bootstrapping_ = false;                   // secure mode's candidates are being tried
  bool tan_told_ = false;                        // in this session
  int invitations_ = 0;

  int life_ = 0, calls_ = 0;
  bool on_ = true, in_session_ = false, in_call_ = false;
  DlsClient::Route call_back_to_;  // of the next solicited session
  std::string called_;             // address of the server of this session, if it is not the configured one
  bool solicited_again_ = false;   // wanted as soon as the session ends
  bool call_back_ = false;         // wanted as soon as the call ends
  bool changed_ = false;           // since the last exchange with the server
  int local_changes_ = 0;
  std::shared_ptr<tcp::socket> polling_;
  steady_clock::time_point last_callback_{}, last_contact_{};
  std::string nonce_;
  std::deque<Item> fragments_;
};

}  // namespace phonesim
