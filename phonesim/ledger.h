// Every effect on every phone, one JSON line each, written at once: what tests compare with the server's
// database.
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <mutex>
#include <string>

#include <nlohmann/json.hpp>

namespace phonesim {

class Ledger {
 public:
  explicit Ledger(const std::string& path) {
    if (!path.empty()) file_.open(path, std::ios::app);
  }
  void Record(const std::string& mac, const std::string& ip, const std::string& event,
              const nlohmann::ordered_json& more = {}) {
    nlohmann::ordered_json line;
    line["ts"] = std::chrono::duration_cast<std::chrono::microseconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count();
    line["mac"] = mac;
    line["ip"] = ip;
    line["event"] = event;
    for (const auto& [key, value] : more.items()) line[key] = value;
    const std::lock_guard lock(mutex_);
    ++counts_[event];
    if (file_.is_open()) file_ << line.dump() << '\n' << std::flush;
  }
  std::map<std::string, std::int64_t> Counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::ofstream file_;
  std::map<std::string, std::int64_t> counts_;
};

}  // namespace phonesim
