#include "provisioning/delivery/security_watch.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "base/log.h"
#include "db/secure_mode_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr absl::Duration kRepeat = absl::Seconds(10);
constexpr int kMostPerSecond = 100;
constexpr std::size_t kMostRemembered = 10000;

}  // namespace

bool SecurityWatch::Admit(const std::string& key) {
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mutex_);
  const auto known = recent_.find(key);
  if (known != recent_.end() && now - known->second < kRepeat) return false;
  if (now - second_ >= absl::Seconds(1)) {
    second_ = now;
    in_second_ = 0;
  }
  if (++in_second_ > kMostPerSecond) return false;
  if (recent_.size() >= kMostRemembered) recent_.clear();
  recent_[key] = now;
  return true;
}

absl::Status SecurityWatch::Record(db::Tx& tx, const std::string& kind, const std::string& door,
                                   const std::string& address, const std::string& mac,
                                   const std::string& detail) {
  if (!Admit(absl::StrCat(kind, " ", address, " ", mac))) return absl::OkStatus();
  base::LogWarn("security_event", {{"kind", kind}, {"door", door}, {"address", address}, {"mac", mac}});
  db::SecurityEventRecord event;
  event.kind = kind;
  event.door = door;
  event.address = address;
  event.mac = mac;
  event.detail = detail;
  return db::AppendSecurityEvent(tx, event);
}

}  // namespace phonepki::provisioning
