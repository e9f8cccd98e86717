// What phonepkid can be told. A value comes from a flag, else an environment variable, else the YAML file,
// else the default below; all of it is checked before a port opens, and all mistakes are reported at once.
//
//   phone.listen  =  --phone-listen  =  PHONEPKI_PHONE_LISTEN  =  file: {phone: {listen: "[::]:18443"}}
//
// The table in config_options.cc names every key once; flags, variables, file keys, --help, --print-config
// and docs/configuration.md are made from it. Secrets are given as paths of files.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/log.h"

namespace phonepki::server {

// "host:port" or "[v6]:port". Empty text is the default-constructed value: the door is off.
struct ListenAddress {
  std::string host;  // an IP address, without brackets
  int port = 0;      // 0 with a host: any free port

  bool enabled() const { return !host.empty(); }
  bool loopback() const;
  std::string ToString() const;
  static absl::StatusOr<ListenAddress> Parse(const std::string& text);
};

enum class TlsPolicy { kDefault, kLegacy };
enum class DoorKeyAlgorithm { kRsa2048, kEcdsaP256 };
enum class Admission { kOpen, kKnownDevices, kNetworks };
enum class Pkcs12Encryption { kLegacy3DesSha1, kAes256Sha256 };
enum class RsaGenerator { kNettle, kOpenSsl };
enum class WpiActivation { kNone, kRestart };
enum class DoorRefusal { kCleanUp, kForbidden };
enum class KnockAdvertise { kNone, kDefaultMode, kAll };
enum class PinAlphabet { kDigits, kLetters };

struct ServerConfig {
  std::string data_dir = "/var/lib/phonepki";
  std::vector<std::string> roles = {"api", "phone", "worker", "responder"};
  bool HasRole(const std::string& role) const;

  struct Database {
    std::string url;       // empty: embedded PostgreSQL in data_dir. Filled from url_file when that is given
    std::string url_file;  // for URLs with a password
    int pool_size = 24;
    std::string binaries;  // of the embedded PostgreSQL; empty: the newest /usr/lib/postgresql/*/bin
    bool embedded() const { return url.empty(); }
  } database;

  struct Api {
    ListenAddress listen{"0.0.0.0", 9443};
    std::vector<std::string> names;  // more subject alternative names of the API's own certificate
    int max_threads = 64;
    bool insecure_plaintext = false;  // tests only; refused unless listen is loopback
  } api;

  struct Phone {
    ListenAddress listen{"::", 18443};
    std::string path = "/DeploymentService/LoginService";
    TlsPolicy tls_policy = TlsPolicy::kDefault;
    DoorKeyAlgorithm certificate_algorithm = DoorKeyAlgorithm::kRsa2048;
    Admission admission = Admission::kOpen;
    std::vector<std::string> networks;  // CIDR
    absl::Duration handshake_timeout = absl::Seconds(10);
    absl::Duration header_timeout = absl::Seconds(10);
    absl::Duration body_timeout = absl::Seconds(20);
    absl::Duration idle_timeout = absl::Seconds(45);
    int max_connections = 20000;
    int max_connections_per_address = 64;  // 0: unlimited
    absl::Duration session_timeout = absl::Seconds(120);
    int io_threads = 2;
    int handler_threads = 8;
  } phone;

  struct Secure {
    ListenAddress listen{"::", 18444};
    int advertise_port = 0;  // 0: the port of listen
    DoorRefusal refusal = DoorRefusal::kCleanUp;
    int max_pin_retries = 3;
    std::string data_codec = "cms";
    std::vector<std::string> server_names;  // empty: this host's
    PinAlphabet pin_alphabet = PinAlphabet::kDigits;
    int pin_length = 8;
    int pin_min_length = 8;
    int pin_max_length = 16;
    absl::Duration pin_lifetime = absl::Hours(24 * 30);
  } secure;

  struct Http {
    ListenAddress listen{"::", 8080};
  } http;

  struct Dcmp {
    std::string path = "/dcmp/contact-me";
    std::string device_parameter = "device-id";
    int work_status = 202;
    int nothing_status = 200;
  } dcmp;

  struct Metrics {
    ListenAddress listen{"127.0.0.1", 9090};
  } metrics;

  struct Knock {
    double rate = 100;  // per second, over all phones
    absl::Duration timeout = absl::Seconds(10);
    absl::Duration lifetime = absl::Seconds(120);
    absl::Duration contact_gap = absl::Seconds(300);
    bool allow_fast = false;  // simulated phones only: permits a contact gap under a minute
    int concurrency = 200;
    KnockAdvertise advertise = KnockAdvertise::kDefaultMode;
    std::string advertise_address;  // empty: phones call the server that they are set to
    int advertise_port = 0;         // 0: the port of phone.listen
  } knock;

  struct Probe {
    int port = 443;
    absl::Duration timeout = absl::Seconds(10);
    int attempts = 5;
    absl::Duration retry = absl::Seconds(5);
    int concurrency = 200;
  } probe;

  struct Worker {
    int batch = 50;
    absl::Duration lease = absl::Seconds(60);
    absl::Duration poll = absl::Seconds(1);
  } worker;

  struct Job {
    absl::Duration deadline = absl::Hours(72);
    int max_failures = 5;
    absl::Duration retry_min = absl::Seconds(30);
    absl::Duration retry_max = absl::Minutes(15);
    absl::Duration busy_grant = absl::Hours(4);
  } job;

  struct Pkcs12 {
    // Firmware that reads AES-256 is not known; all generations read 3DES/SHA-1.
    Pkcs12Encryption encryption = Pkcs12Encryption::kLegacy3DesSha1;
    std::string passphrase_file;  // empty: the empty pass phrase
    int iterations = 0;           // 0: 2048 with a pass phrase, 1 with the empty one
  } pkcs12;

  struct Keys {
    RsaGenerator rsa_generator = RsaGenerator::kNettle;
    std::string master_key_file;  // empty: <data_dir>/master.key
    bool erase_after_activation = true;
    std::string MasterKeyPath(const std::string& data_dir) const;
  } keys;

  struct Slots {
    std::string file;  // empty: the table that is built in
  } slots;

  struct Wpi {
    WpiActivation activation = WpiActivation::kNone;
  } wpi;

  struct Log {
    base::LogLevel level = base::LogLevel::kInfo;
  } log;

  struct Shutdown {
    absl::Duration drain = absl::Seconds(20);
  } shutdown;
};

struct ConfigMistake {
  std::string key;   // "phone.listen"
  std::string text;  // what is wrong and what to do
};

// Checks each value by itself, then what must hold between values. All mistakes, in the order of the table.
std::vector<ConfigMistake> Validate(const ServerConfig& config);

// What the command line asks for.
struct Invocation {
  enum class Command {
    kServe,
    kMigrate,
    kPrint,  // --help, --version, --print-config, config-reference: print `text`, exit 0
  };
  Command command = Command::kServe;
  std::string text;
  ServerConfig config;
  std::vector<std::string> warnings;  // log them once the log is up
};

using EnvironmentList = std::vector<std::string>;  // "NAME=value"

// kInvalidArgument: the message lists every mistake on a line of its own, each naming its place
// (file:line, variable or flag) and, for an unknown key, the nearest known one.
absl::StatusOr<Invocation> ParseInvocation(int argc, const char* const* argv,
                                           const EnvironmentList& environment);
EnvironmentList ProcessEnvironment();

// docs/configuration.md.
std::string ConfigReference();

}  // namespace phonepki::server
