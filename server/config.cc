#include "server/config.h"

#include <algorithm>

#include <fmt/format.h>

#include "server/config_options.h"
#include "server/config_values.h"

namespace phonepki::server {
namespace {

class Checker {
 public:
  explicit Checker(const ServerConfig& config) : config_(config) {}

  std::vector<ConfigMistake> Run() {
    for (const ConfigOption& option : ConfigOptions()) {
      if (std::string text = option.check(config_); !text.empty()) Add(option.key, text);
    }
    CheckDatabase();
    CheckDoors();
    CheckPorts();
    CheckPhones();
    CheckPolls();
    CheckPins();
    CheckJobs();
    return std::move(mistakes_);
  }

 private:
  void Add(std::string key, std::string text) { mistakes_.push_back({std::move(key), std::move(text)}); }

  void CheckDatabase() {
    const auto& database = config_.database;
    if (database.url_file.empty() && !database.url.empty() && !database.binaries.empty()) {
      Add("database.binaries",
          "has no meaning with database.url: the programs are those of the embedded PostgreSQL");
    }
  }

  void CheckDoors() {
    if (config_.api.insecure_plaintext && !config_.api.listen.loopback()) {
      Add("api.insecure_plaintext",
          "is for tests: api.listen must then be a loopback address, like 127.0.0.1:9443");
    }
    NeedsDoor("api", "api.listen", config_.api.listen);
    NeedsDoor("phone", "phone.listen", config_.phone.listen);
    NeedsDoor("responder", "http.listen", config_.http.listen);
  }

  void NeedsDoor(const char* role, const char* key, const ListenAddress& listen) {
    if (config_.HasRole(role) && !listen.enabled()) {
      Add(key, fmt::format("must not be empty while the role {} is on", role));
    }
  }

  void CheckPorts() {
    const std::pair<const char*, const ListenAddress*> doors[] = {
        {"api.listen", &config_.api.listen},
        {"phone.listen", &config_.phone.listen},
        {"secure.listen", &config_.secure.listen},
        {"http.listen", &config_.http.listen},
        {"metrics.listen", &config_.metrics.listen}};
    const auto wildcard = [](const ListenAddress& a) { return a.host == "0.0.0.0" || a.host == "::"; };
    for (auto second = std::begin(doors); second != std::end(doors); ++second) {
      for (auto first = std::begin(doors); first != second; ++first) {
        const ListenAddress& a = *first->second;
        const ListenAddress& b = *second->second;
        if (a.enabled() && b.enabled() && a.port != 0 && a.port == b.port &&
            (a.host == b.host || wildcard(a) || wildcard(b))) {
          Add(second->first,
              fmt::format("takes port {}, which {} ({}) has", b.port, first->first, a.ToString()));
        }
      }
    }
  }

  void CheckPhones() {
    if (config_.phone.admission == Admission::kNetworks && config_.phone.networks.empty()) {
      Add("phone.networks", "must name at least one network while phone.admission is networks");
    }
    if (config_.phone.admission != Admission::kNetworks && !config_.phone.networks.empty()) {
      Add("phone.networks", "has an effect only when phone.admission is networks");
    }
    if (config_.knock.contact_gap < absl::Minutes(1) && !config_.knock.allow_fast) {
      Add("knock.contact_gap",
          "must be at least 1m: faster knocks crash phones (knock.allow_fast for simulated ones)");
    }
    if (config_.knock.advertise == KnockAdvertise::kNone && !config_.knock.advertise_address.empty()) {
      Add("knock.advertise_address", "has no effect while knock.advertise is none");
    }
    if (config_.knock.lifetime < config_.knock.timeout) {
      Add("knock.lifetime", "must not be shorter than knock.timeout");
    }
  }

  void CheckPolls() {
    if (config_.dcmp.work_status == config_.dcmp.nothing_status) {
      Add("dcmp.work_status", "must not be dcmp.nothing_status: phones could not tell them apart");
    }
  }

  void CheckPins() {
    const auto& secure = config_.secure;
    if (secure.pin_max_length < secure.pin_min_length) {
      Add("secure.pin_max_length", "must not be less than secure.pin_min_length");
    } else if (secure.pin_length < secure.pin_min_length || secure.pin_length > secure.pin_max_length) {
      Add("secure.pin_length", "must be from secure.pin_min_length to secure.pin_max_length");
    }
  }

  void CheckJobs() {
    if (config_.job.retry_max < config_.job.retry_min)
      Add("job.retry_max", "must not be less than job.retry_min");
    if (config_.worker.lease < 2 * config_.worker.poll)
      Add("worker.lease", "must be at least twice worker.poll");
  }

  const ServerConfig& config_;
  std::vector<ConfigMistake> mistakes_;
};

}  // namespace

bool ServerConfig::HasRole(const std::string& role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

std::string ServerConfig::Keys::MasterKeyPath(const std::string& data_dir) const {
  return master_key_file.empty() ? data_dir + "/master.key" : master_key_file;
}

std::vector<ConfigMistake> Validate(const ServerConfig& config) {
  return Checker(config).Run();
}

}  // namespace phonepki::server
