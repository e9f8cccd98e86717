#include <sys/resource.h>

#include <iostream>

#include <CLI/CLI.hpp>

#include "phonesim/addresses.h"
#include "phonesim/control.h"
#include "phonesim/fleet.h"
#include "phonesim/hold.h"
#include "phonesim/probe.h"

namespace {

void AddRun(CLI::App& app, phonesim::Options& run, std::vector<std::string>& dls) {
  CLI::App* fleet = app.add_subcommand("run", "Run a fleet until it is told to stop.");
  const CLI::Range share(0.0, 1.0);
  fleet->add_option("--phones", run.phones, "Number of phones")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  fleet
      ->add_option("--first-address", run.first_address,
                   "Address of the first phone, which this host must have")
      ->capture_default_str();
  fleet->add_option("--first-mac", run.first_mac, "MAC address of the first phone")->capture_default_str();
  fleet->add_option("--e164-base", run.e164_base, "Number of the first phone")->capture_default_str();
  fleet->add_option("--contact-port", run.contact_port, "Contact-me port")->capture_default_str();
  fleet->add_option("--web-port", run.web_port, "HTTPS port of each phone's web server")
      ->capture_default_str();
  fleet->add_option("--dls", dls, "Servers, address:port")->delimiter(',')->capture_default_str();
  fleet->add_option("--dls-choice", run.dls_choice, "Which server a message goes to")
      ->capture_default_str()
      ->check(CLI::IsMember({"first", "per-phone", "per-message"}));
  fleet->add_option("--path", run.path, "URL path of the server")->capture_default_str();
  fleet
      ->add_option("--profile", run.profile,
                   "Family and firmware: keep-alive, or one connection per message and TLS 1.2 (cp)")
      ->capture_default_str()
      ->check(CLI::IsMember({"v3r3", "v2r2", "cp", "desk-phone-ip", "optipoint", "mix"}));
  fleet
      ->add_option("--contact-gap-seconds", run.contact_gap_seconds,
                   "Contact-me requests within it are ignored")
      ->capture_default_str();
  fleet
      ->add_option("--crash-interval-seconds", run.crash_interval_seconds,
                   "Contact-me requests closer than this crash the phone (recorded)")
      ->capture_default_str();
  fleet->add_option("--busy-share", run.busy_share, "Phones in a call when first knocked at")->check(share);
  fleet->add_option("--busy-seconds", run.busy_seconds, "Length of that call")->capture_default_str();
  fleet->add_option("--offline-share", run.offline_share, "Phones switched on late")->check(share);
  fleet->add_option("--offline-seconds", run.offline_seconds, "How late")->capture_default_str();
  fleet->add_option("--slow-share", run.slow_share, "Phones behind a slow line")->check(share);
  fleet
      ->add_option("--slow-octets-per-second", run.slow_octets_per_second,
                   "How slow, in each direction of each connection")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e9));
  fleet->add_option("--reject-share", run.reject_share, "Phones that reject the certificate item")
      ->check(share);
  fleet->add_option("--drop-share", run.drop_share, "Chance that a message's connection breaks")
      ->check(share);
  fleet
      ->add_option("--nonce-policy", run.nonce_policy,
                   "A new nonce for each message, one for the session, or none in replies (wrong)")
      ->capture_default_str()
      ->check(CLI::IsMember({"fresh", "constant", "wrong"}));
  fleet->add_option("--nonce-share", run.nonce_share, "Phones with that policy; the others' nonces are fresh")
      ->capture_default_str()
      ->check(share);
  fleet
      ->add_option("--foreign-cookie-share", run.foreign_cookie_share,
                   "Chance that a reply carries the cookie of another phone's session")
      ->check(share);
  fleet
      ->add_option("--fragment-share", run.fragment_share,
                   "Chance that ReadAllItems is answered in fragments")
      ->check(share);
  fleet->add_option("--fragment-size", run.fragment_size, "Items per fragment")->capture_default_str();
  fleet->add_option("--unknown-items", run.unknown_items, "Items that the firmware does not have")
      ->delimiter(',');
  fleet->add_option("--info-format", run.info_format, "What the items about certificates say")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "none", "failed"}));
  fleet->add_option("--wbm-passphrase", run.wbm_passphrase,
                    "Pass phrase of written PKCS#12 items, except secure mode's");
  fleet->add_option("--activation", run.activation, "When a written certificate is served")
      ->capture_default_str()
      ->check(CLI::IsMember({"immediate", "restart"}));
  fleet
      ->add_option(
          "--secure-attempts", run.secure_attempts,
          "Start-ups on the secure port before a phone that was just sent there goes on in default mode")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  fleet->add_option("--security-pin", run.security_pin, "PIN that is typed at every phone that asks for one");
  fleet->add_option("--security-pin-file", run.security_pin_file,
                    "Lines MAC,PIN: what is typed at which phone; read when a phone asks");
  fleet->add_option("--pin-delay-seconds", run.pin_delay_seconds, "How long it takes to type a PIN")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1e6));
  fleet->add_flag("--check-server-name", run.check_server_name,
                  "In secure mode the server's certificate must name its address");
  fleet
      ->add_option(
          "--poll-seconds", run.poll_seconds,
          "Phones behind NAT: the contact-me port is closed, they ask the server at this interval (0: "
          "they do not)")
      ->check(CLI::NonNegativeNumber);
  fleet->add_option("--poll-port", run.poll_port, "The server's HTTP port that they ask")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  fleet
      ->add_option("--poll-call-status", run.poll_call_status,
                   "The answer that means: call; any other means: nothing to do")
      ->capture_default_str();
  fleet->add_option("--startup-concurrency", run.startup_concurrency, "Phones that start up at the same time")
      ->capture_default_str();
  fleet->add_option("--retry-seconds", run.retry_seconds, "First pause before start-up is tried again")
      ->capture_default_str();
  fleet->add_option("--reboot-seconds", run.reboot_seconds, "How long a reboot takes")->capture_default_str();
  fleet->add_option("--seed", run.seed, "Of all randomness")->capture_default_str();
  fleet->add_option("--ledger", run.ledger, "Append every effect as a JSON line");
  fleet->add_option("--state-dir", run.state_dir,
                    "Keep activated certificates over restarts of the simulator");
  fleet->add_option("--control", run.control, "Unix socket that takes orders; see phonesim control");
}

CLI::App* AddProbe(CLI::App& app, phonesim::ProbeOptions& probe) {
  CLI::App* prober =
      app.add_subcommand("probe", "Check the certificate that every phone's web server presents.");
  prober->add_option("--phones", probe.phones, "Number of phones")->capture_default_str();
  prober->add_option("--first-address", probe.first_address, "Address of the first phone")
      ->capture_default_str();
  prober->add_option("--web-port", probe.web_port, "HTTPS port")->capture_default_str();
  prober->add_option("--ca", probe.ca_file, "PEM file of the CA")->required()->check(CLI::ExistingFile);
  prober->add_option("--serials-out", probe.serials_out, "Write address and serial number of each phone");
  prober->add_option("--not-serials", probe.not_serials,
                     "Such a file of an earlier run: its serial numbers are refused");
  prober->add_flag("--json", probe.json, "JSON report");
  return prober;
}

CLI::App* AddHold(CLI::App& app, phonesim::HoldOptions& hold) {
  CLI::App* holder = app.add_subcommand("hold", "Keep idle connections to a server open, for measurements.");
  holder->add_option("--connections", hold.connections, "How many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  holder->add_option("--per-address", hold.per_address, "Connections per source address")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  holder->add_option("--dls", hold.dls, "Server, address:port")->capture_default_str();
  holder->add_option("--path", hold.path, "URL path of the server")->capture_default_str();
  holder->add_option("--first-address", hold.first_address, "First source address")->capture_default_str();
  holder->add_option("--first-mac", hold.first_mac, "MAC address of the first start-up")
      ->capture_default_str();
  holder->add_option("--concurrency", hold.concurrency, "Connections being opened at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  holder->add_flag("--handshake-only", hold.handshake_only, "Send nothing after the TLS handshake");
  return holder;
}

struct ControlOptions {
  std::string path, command, phone, value;
};

CLI::App* AddControl(CLI::App& app, ControlOptions& control) {
  CLI::App* controller = app.add_subcommand("control", "Give an order to phones of a running fleet.");
  controller->add_option("path", control.path, "The fleet's --control")->required();
  controller
      ->add_option(
          "command", control.command,
          "status, reboot, call-start, call-end, offline, online, pin, default-security, factory-reset, "
          "local-change")
      ->required();
  controller->add_option("phone", control.phone, "Address or MAC address, or all");
  controller->add_option("value", control.value, "What is typed: the PIN of the command pin");
  return controller;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"A fleet of phones that speak real WPI over real sockets, for tests and demonstrations."};
  app.require_subcommand(1);
  app.footer(
      "Examples:\n  phonesim run --phones 200 --dls 127.0.0.1:18443 --ledger ledger.jsonl\n"
      "  phonesim probe --phones 200 --ca ca.pem\n"
      "  phonesim control fleet.sock offline 127.1.0.3\n");

  phonesim::Options run;
  std::vector<std::string> dls{"127.0.0.1:18443"};
  AddRun(app, run, dls);
  phonesim::ProbeOptions probe;
  const CLI::App* prober = AddProbe(app, probe);
  ControlOptions control;
  const CLI::App* controller = AddControl(app, control);
  phonesim::HoldOptions hold;
  const CLI::App* holder = AddHold(app, hold);
  CLI11_PARSE(app, argc, argv);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (*prober) return phonesim::RunProbe(probe);
  if (*holder) return phonesim::RunHold(hold);
  if (*controller) return phonesim::RunControl(control.path, control.command, control.phone, control.value);
  try {
    run.dls.clear();
    for (const std::string& text : dls) run.dls.push_back(phonesim::ParseServer(text));
  } catch (const std::exception& error) {
    std::cerr << "phonesim: --dls " << error.what() << "\n";
    return 2;
  }
  return phonesim::RunFleet(run);
}
