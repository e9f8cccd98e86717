// What a simulated fleet is like. Shares are 0 to 1; who gets which trait is decided by --seed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace phonesim {

struct Options {
  int phones = 10;
  std::string first_address = "127.1.0.1";
  std::string first_mac = "00:1A:E8:00:00:01";
  std::uint64_t e164_base = 498912300000;
  int contact_port = 8085;
  int web_port = 8443;
  std::vector<std::pair<std::string, int>> dls = {{"127.0.0.1", 18443}};
  std::string dls_choice = "first";  // first, per-phone, per-message
  std::string path = "/DeploymentService/LoginService";
  std::string profile = "v3r3";  // v3r3, v2r2, cp, desk-phone-ip, optipoint, mix
  double contact_gap_seconds = 300;
  double crash_interval_seconds = 1;
  double busy_share = 0, busy_seconds = 5;
  double offline_share = 0, offline_seconds = 5;
  double slow_share = 0, slow_octets_per_second = 2000;
  double reject_share = 0;
  double drop_share = 0;  // chance per message
  // fresh: a new nonce for each message; constant: one for the session; wrong: replies carry none.
  std::string nonce_policy = "fresh";
  double nonce_share = 1;           // phones with that policy; the others' are fresh
  double foreign_cookie_share = 0;  // chance per reply
  double fragment_share = 0;
  int fragment_size = 20;
  std::vector<std::string> unknown_items;
  std::string info_format = "text";  // text, none, failed
  std::string wbm_passphrase;
  std::string activation = "immediate";  // immediate, restart
  int secure_attempts = 3;               // start-ups on the secure port before a new phone falls back
  std::string security_pin, security_pin_file;
  double pin_delay_seconds = 1;
  bool check_server_name = false;  // the secure port's certificate must name the server's address
  // Behind NAT: the contact-me port is closed, and the phone asks the server instead. 0: it can be reached.
  double poll_seconds = 0;
  int poll_port = 18080;
  int poll_call_status = 202;  // the answer that means: call the server
  int startup_concurrency = 64;
  double retry_seconds = 2;
  double reboot_seconds = 0.5;
  std::uint64_t seed = 1;
  std::string ledger;
  std::string state_dir;
  std::string control;  // path of a Unix socket
};

}  // namespace phonesim
