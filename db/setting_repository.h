// Settings of phones that go with their certificates: what is wanted, and what the phone has confirmed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "db/database.h"

namespace phonepki::db {

struct SettingRecord {
  std::string slot;
  std::string key;
  std::string wanted;
  std::optional<std::string> confirmed;
  std::optional<absl::Time> confirmed_at;
  std::string override_reason;
};

// By slot and key. An empty `slot`: of all.
absl::StatusOr<std::vector<SettingRecord>> ListSettings(Tx& tx, std::int64_t device_id,
                                                        const std::string& slot);
// keys[i] is to be values[i] from now on; what is not named stays as it was.
absl::Status WantSettings(Tx& tx, std::int64_t device_id, const std::string& slot,
                          const std::vector<std::string>& keys, const std::vector<std::string>& values,
                          const std::string& override_reason);
// The phone has taken what is wanted.
absl::Status ConfirmSettings(Tx& tx, std::int64_t device_id, const std::string& slot);

}  // namespace phonepki::db
