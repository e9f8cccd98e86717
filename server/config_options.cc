#include "server/config_options.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <absl/time/time.h>
#include <fmt/format.h>

#include "ca/x509/network_name.h"
#include "provisioning/secure_mode/pin.h"
#include "server/config_values.h"

namespace phonepki::server {
namespace {

using C = ServerConfig;

template <typename T>
using Check = std::function<std::string(const T&)>;

template <typename Member>
auto Row(const char* key, Member member, const char* help,
         std::type_identity_t<Check<std::remove_cvref_t<decltype(member(std::declval<C&>()))>>> check = {},
         const char* type = nullptr) {
  using T = std::remove_cvref_t<decltype(member(std::declval<C&>()))>;
  ConfigOption option;
  option.key = key;
  option.type = type != nullptr ? type : ConfigValue<T>::Type();
  option.help = help;
  option.is_bool = std::is_same_v<T, bool>;
  option.is_list = std::is_same_v<T, std::vector<std::string>>;
  option.parse = [member](C& config, const std::string& text) {
    return ConfigValue<T>::Parse(text, &member(config));
  };
  option.print = [member](const C& config) { return ConfigValue<T>::Print(member(const_cast<C&>(config))); };
  option.check = [member, check](const C& config) {
    return check ? check(member(const_cast<C&>(config))) : std::string();
  };
  return option;
}

#define MEMBER(path)   \
  [](C & c) -> auto& { \
    return c.path;     \
  }

Check<int> Between(int low, int high) {
  return [=](const int& value) {
    return value >= low && value <= high ? "" : fmt::format("must be from {} to {}", low, high);
  };
}

Check<absl::Duration> Between(absl::Duration low, absl::Duration high) {
  return [=](const absl::Duration& value) {
    if (value >= low && value <= high) return std::string();
    using Value = ConfigValue<absl::Duration>;
    return fmt::format("must be from {} to {}", Value::Print(low), Value::Print(high));
  };
}

Check<absl::Duration> AtMost(absl::Duration high) {
  return Between(absl::Milliseconds(1), high);
}

std::string Required(const std::string& value) {
  return value.empty() ? "must not be empty" : "";
}

std::string ReadableFile(const std::string& path) {
  return path.empty() || IsReadableFile(path) ? "" : fmt::format("the file {} cannot be read", path);
}

std::string UrlWithoutPassword(const std::string& url) {
  return UrlHasPassword(url)
             ? "holds a password; put the whole URL into a file and name it in database.url_file"
             : "";
}

std::string KnownRoles(const std::vector<std::string>& roles) {
  static constexpr std::array kRoles = {"api", "phone", "worker", "responder"};
  if (roles.empty()) return "at least one role is needed";
  for (const std::string& role : roles) {
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end()) {
      return fmt::format("\"{}\" is not a role; the roles are {}", role, absl::StrJoin(kRoles, ", "));
    }
    if (std::count(roles.begin(), roles.end(), role) > 1) return fmt::format("\"{}\" is given twice", role);
  }
  return "";
}

std::string HostNames(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (!IsIpAddress(name) && !ca::IsDnsName(name)) {
      return fmt::format("\"{}\" is neither an IP address nor a host name", name);
    }
  }
  return "";
}

std::string Networks(const std::vector<std::string>& networks) {
  for (const std::string& network : networks) {
    if (std::string problem = CidrProblem(network); !problem.empty()) return problem;
  }
  return "";
}

std::string UrlPath(const std::string& path) {
  return !path.empty() && path[0] == '/' && path.find_first_of(" ?#") == std::string::npos
             ? ""
             : "must be a URL path that begins with / and has no query";
}

std::string HostOrEmpty(const std::string& host) {
  return host.empty() ? "" : HostNames({host});
}

std::vector<ConfigOption> MakeOptions() {
  const absl::Duration kSecond = absl::Seconds(1);
  const absl::Duration kDay = absl::Hours(24);
  return {
      Row("data_dir", MEMBER(data_dir),
          "Directory for the embedded database, the master key and the API's certificate. Made at the first "
          "start.",
          Required, "path"),
      Row("roles", MEMBER(roles),
          "What this process does. Replicas that share a database may divide the roles among them.",
          KnownRoles, "list of api, phone, worker, responder"),

      Row("database.url", MEMBER(database.url),
          "PostgreSQL to use, as a libpq URL or connection string without a password. Empty: an embedded one "
          "in "
          "data_dir.",
          UrlWithoutPassword),
      Row("database.url_file", MEMBER(database.url_file), "File that holds the URL, for one with a password.",
          ReadableFile, "path"),
      Row("database.pool_size", MEMBER(database.pool_size), "Most connections to PostgreSQL.",
          Between(4, 1000)),
      Row("database.binaries", MEMBER(database.binaries),
          "Directory of the embedded PostgreSQL's programs. Empty: the newest under /usr/lib/postgresql.", {},
          "path"),

      Row("api.listen", MEMBER(api.listen), "gRPC API over TLS."),
      Row("api.names", MEMBER(api.names),
          "Host names and addresses to put into the API's own certificate beside this host's.", HostNames),
      Row("api.max_threads", MEMBER(api.max_threads), "Most threads that serve the API.", Between(4, 4096)),
      Row("api.insecure_plaintext", MEMBER(api.insecure_plaintext),
          "Serve the API without TLS, for tests. Refused unless api.listen is a loopback address."),

      Row("phone.listen", MEMBER(phone.listen),
          "Door for phones in default mode (TLS, the phone proves nothing). [::] is IPv6 and IPv4, here and "
          "at the "
          "other doors of phones."),
      Row("phone.path", MEMBER(phone.path), "URL path that phones post to.", UrlPath),
      Row("phone.tls_policy", MEMBER(phone.tls_policy),
          "default: TLS 1.2 and later. legacy: also TLS 1.0 and old cipher suites, for old firmware."),
      Row("phone.certificate_algorithm", MEMBER(phone.certificate_algorithm),
          "Key of the door's own certificate. Old firmware cannot do ECDSA."),
      Row("phone.admission", MEMBER(phone.admission),
          "Which unknown phones may register: open: all; known-devices: none; networks: those in "
          "phone.networks, where known phones in default mode must be, too."),
      Row("phone.networks", MEMBER(phone.networks), "Networks for phone.admission networks, as CIDR.",
          Networks),
      Row("phone.handshake_timeout", MEMBER(phone.handshake_timeout), "Longest TLS handshake.",
          AtMost(absl::Minutes(10))),
      Row("phone.header_timeout", MEMBER(phone.header_timeout), "Longest wait for a complete request header.",
          AtMost(absl::Minutes(10))),
      Row("phone.body_timeout", MEMBER(phone.body_timeout), "Longest wait for a complete request body.",
          AtMost(absl::Minutes(10))),
      Row("phone.idle_timeout", MEMBER(phone.idle_timeout),
          "How long a connection may wait for its next request. Some firmware needs at least 30s.",
          AtMost(absl::Hours(1))),
      Row("phone.max_connections", MEMBER(phone.max_connections), "Most open phone connections.",
          Between(1, 1000000)),
      Row("phone.max_connections_per_address", MEMBER(phone.max_connections_per_address),
          "Most open connections from one address; 0: no limit (many phones behind one NAT address).",
          Between(0, 1000000)),
      Row("phone.session_timeout", MEMBER(phone.session_timeout),
          "How long a phone session may wait for the phone's next message.", Between(kSecond, kDay)),
      Row("phone.io_threads", MEMBER(phone.io_threads), "Threads that move phone traffic.", Between(1, 64)),
      Row("phone.handler_threads", MEMBER(phone.handler_threads),
          "Threads that answer phone messages; each may hold a database connection.", Between(1, 512)),

      Row("secure.listen", MEMBER(secure.listen),
          "Door for phones in secure mode (mutual TLS); opens as soon as there are an active server and an "
          "active "
          "client credential. Empty: off."),
      Row("secure.advertise_port", MEMBER(secure.advertise_port),
          "Port that phones are told to call in secure mode. 0: the port of secure.listen.",
          Between(0, 65535)),
      Row("secure.refusal", MEMBER(secure.refusal),
          "What a phone gets that may not talk at a door: clean-up: the end of its session; forbidden: HTTP "
          "403."),
      Row("secure.max_pin_retries", MEMBER(secure.max_pin_retries), "Wrong PINs that a phone takes.",
          Between(1, 100)),
      Row("secure.data_codec", MEMBER(secure.data_codec),
          "How secure-mode-data is packed; see docs/secure-mode-data.md."),
      Row("secure.server_names", MEMBER(secure.server_names),
          "Host names and addresses that phones call, for the certificates of new server credentials. Empty: "
          "the name of this host, secure.listen, knock.advertise_address, and the addresses of its "
          "interfaces. Server addresses of locations are added.",
          HostNames),
      Row("secure.pin_alphabet", MEMBER(secure.pin_alphabet),
          "What security PINs consist of. letters: digits too; not every phone has letter keys."),
      Row("secure.pin_length", MEMBER(secure.pin_length),
          "Characters of a generated PIN. The last three encrypt nothing, and five digits can be guessed by "
          "who holds what they encrypt: longer is better.",
          Between(provisioning::kShortestPin, provisioning::kLongestPin)),
      Row("secure.pin_min_length", MEMBER(secure.pin_min_length),
          "Fewest characters of a PIN that a person chooses.",
          Between(provisioning::kShortestPin, provisioning::kLongestPin)),
      Row("secure.pin_max_length", MEMBER(secure.pin_max_length),
          "Most characters of a PIN that a person chooses.",
          Between(provisioning::kShortestPin, provisioning::kLongestPin)),
      Row("secure.pin_lifetime", MEMBER(secure.pin_lifetime),
          "How long an individual PIN is good for. The default PIN stays until it is rotated.",
          Between(absl::Minutes(1), 366 * kDay)),

      Row("http.listen", MEMBER(http.listen),
          "Plain HTTP for CRLs, CA certificates and polling phones. Empty: off."),

      Row("dcmp.path", MEMBER(dcmp.path),
          "URL path of http.listen that phones behind NAT ask whether they shall call.", UrlPath),
      Row("dcmp.device_parameter", MEMBER(dcmp.device_parameter),
          "Parameter of such a poll that holds the phone's MAC address.",
          [](const std::string& name) {
            return name.empty() || name.find_first_of("=&?#% ") != std::string::npos
                       ? "must be the name of a URL parameter"
                       : "";
          }),
      Row("dcmp.work_status", MEMBER(dcmp.work_status), "HTTP status that makes the phone call.",
          Between(200, 599)),
      Row("dcmp.nothing_status", MEMBER(dcmp.nothing_status), "HTTP status that tells it to ask again later.",
          Between(200, 599)),

      Row("metrics.listen", MEMBER(metrics.listen), "Prometheus metrics, /healthz and /readyz. Empty: off."),

      Row("knock.rate", MEMBER(knock.rate), "Most contact-me requests per second, over all phones.",
          [](const double& rate) {
            return rate > 0 && rate <= 100000 ? "" : "must be more than 0 and at most 100000";
          }),
      Row("knock.timeout", MEMBER(knock.timeout), "Longest contact-me request.", AtMost(absl::Minutes(5))),
      Row("knock.lifetime", MEMBER(knock.lifetime),
          "How long after its knock a phone may come for its work; later it is knocked at again.",
          Between(kSecond, absl::Hours(1))),
      Row("knock.contact_gap", MEMBER(knock.contact_gap),
          "Shortest time between two knocks at one phone: its firmware ignores or cannot stand faster ones.",
          Between(absl::Milliseconds(1), kDay)),
      Row("knock.allow_fast", MEMBER(knock.allow_fast),
          "Permit a knock.contact_gap under 1m. Real phones crash; for simulated ones only."),
      Row("knock.concurrency", MEMBER(knock.concurrency), "Most contact-me requests under way.",
          Between(1, 10000)),
      Row("knock.advertise", MEMBER(knock.advertise),
          "Which phones a knock tells what address to call (dls_ip_addr, dls_ip_port), where their location "
          "or "
          "knock.advertise_address names one: none; default-mode: those that are not in secure mode; all: "
          "those in secure mode, too, which may ignore a knock that names another server than theirs."),
      Row("knock.advertise_address", MEMBER(knock.advertise_address),
          "Address that a knock tells the phone to call, unless its location names another. An IP address, "
          "or a "
          "host name, which not every firmware may resolve. Empty: none; the phone calls the server that it "
          "is "
          "set to.",
          HostOrEmpty),
      Row("knock.advertise_port", MEMBER(knock.advertise_port),
          "Port that goes with knock.advertise_address. 0: the port of phone.listen.", Between(0, 65535)),

      Row("probe.port", MEMBER(probe.port), "HTTPS port of the phones' own web server.", Between(1, 65535)),
      Row("probe.timeout", MEMBER(probe.timeout), "Longest probe of the certificate that a phone serves.",
          AtMost(absl::Minutes(5))),
      Row("probe.attempts", MEMBER(probe.attempts), "Probes before a roll-out counts as not verified.",
          Between(1, 1000)),
      Row("probe.retry", MEMBER(probe.retry), "Time between two probes of one phone.",
          AtMost(absl::Hours(1))),
      Row("probe.concurrency", MEMBER(probe.concurrency), "Most probes under way.", Between(1, 10000)),

      Row("worker.batch", MEMBER(worker.batch), "Jobs claimed at once.", Between(1, 1000)),
      Row("worker.lease", MEMBER(worker.lease),
          "How long a claimed job stays with a worker that gives no sign of life.",
          Between(absl::Seconds(5), absl::Hours(1))),
      Row("worker.poll", MEMBER(worker.poll), "Longest time until due work is seen without a notification.",
          Between(absl::Milliseconds(10), absl::Minutes(1))),

      Row("job.deadline", MEMBER(job.deadline),
          "How long a job may wait for its phone, when nothing else is said.", Between(kSecond, 366 * kDay)),
      Row("job.max_failures", MEMBER(job.max_failures),
          "Failed attempts after which a job fails. Busy and offline phones do not count.", Between(1, 1000)),
      Row("job.retry_min", MEMBER(job.retry_min), "First wait before a retry; it doubles, with jitter.",
          Between(absl::Milliseconds(10), kDay)),
      Row("job.retry_max", MEMBER(job.retry_max), "Longest wait before a retry.",
          Between(absl::Milliseconds(10), 7 * kDay)),
      Row("job.busy_grant", MEMBER(job.busy_grant),
          "How long a phone in a call is left to come back by itself before it is knocked at again.",
          Between(kSecond, 7 * kDay)),

      Row("pkcs12.encryption", MEMBER(pkcs12.encryption),
          "Encryption of the PKCS#12 that phones get. Only new firmware may read aes256-sha256."),
      Row("pkcs12.iterations", MEMBER(pkcs12.iterations),
          "Iterations of its key derivation; they slow down who guesses the pass phrase. 0: 2048, and 1 with "
          "the "
          "empty pass phrase, which needs no guessing.",
          Between(0, 1'000'000)),
      Row("pkcs12.passphrase_file", MEMBER(pkcs12.passphrase_file),
          "File that holds the pass phrase of that PKCS#12. Empty: the empty pass phrase.", ReadableFile,
          "path"),

      Row("keys.rsa_generator", MEMBER(keys.rsa_generator),
          "Library that generates RSA keys; nettle is faster."),
      Row("keys.master_key_file", MEMBER(keys.master_key_file),
          "File of the key that encrypts all stored private keys, made at the first start. Empty: "
          "<data_dir>/master.key. Back it up: without it no stored key can be read.",
          {}, "path"),
      Row("keys.erase_after_activation", MEMBER(keys.erase_after_activation),
          "Erase a phone's private key once its certificate is verified as active."),

      Row("slots.file", MEMBER(slots.file),
          "Table of the phones' certificate slots and their WPI items. Empty: the one that is built in "
          "(phonepkid slot-table prints it).",
          ReadableFile, "path"),

      Row("wpi.activation", MEMBER(wpi.activation),
          "What makes a phone use a certificate that it has accepted: none: nothing more; restart: a "
          "restart, which is why the serial number that the phone tells before it is not compared."),

      Row("log.level", MEMBER(log.level), "Least level that is logged."),

      Row("shutdown.drain", MEMBER(shutdown.drain),
          "How long a stop waits for sessions and work in progress.",
          Between(absl::ZeroDuration(), absl::Minutes(10))),
  };
}

#undef MEMBER

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j - 1] + 1, above + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string ConfigOption::Section() const {
  const std::size_t dot = key.find('.');
  return dot == std::string::npos ? "" : key.substr(0, dot);
}

std::string ConfigOption::Flag() const {
  return "--" + absl::StrReplaceAll(key, {{".", "-"}, {"_", "-"}});
}

std::string ConfigOption::Variable() const {
  return "PHONEPKI_" + absl::AsciiStrToUpper(absl::StrReplaceAll(key, {{".", "_"}}));
}

const std::vector<ConfigOption>& ConfigOptions() {
  static const auto* options = new std::vector<ConfigOption>(MakeOptions());
  return *options;
}

const std::vector<ConfigSection>& ConfigSections() {
  static const auto* sections = new std::vector<ConfigSection>{
      {"", "General"},
      {"database", "Database"},
      {"api", "gRPC API"},
      {"phone", "Phone door, default mode"},
      {"secure", "Phone door, secure mode"},
      {"http", "Plain HTTP"},
      {"dcmp", "Polls of phones behind NAT (DCMP)"},
      {"metrics", "Metrics and health"},
      {"knock", "Contact-me (the server knocks at a phone)"},
      {"probe", "Probe of the certificate that a phone serves"},
      {"worker", "Workers"},
      {"job", "Jobs"},
      {"pkcs12", "PKCS#12 for phones"},
      {"keys", "Private keys"},
      {"slots", "Certificate slots of the phones"},
      {"wpi", "Phone protocol"},
      {"log", "Log"},
      {"shutdown", "Shutdown"},
  };
  return *sections;
}

const ConfigOption* FindConfigOption(const std::string& key) {
  const auto& options = ConfigOptions();
  const auto it =
      std::find_if(options.begin(), options.end(), [&](const auto& option) { return option.key == key; });
  return it == options.end() ? nullptr : &*it;
}

std::string Nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace phonepki::server
