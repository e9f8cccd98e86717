#include "db/setting_repository.h"

#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr Query kList{"device_setting_list", R"sql(
  SELECT slot, key, wanted, confirmed, to_usec(confirmed_at), override_reason
    FROM device_setting WHERE device_id = $1 AND ($2 = '' OR slot = $2) ORDER BY slot, key)sql"};
constexpr Query kWant{"device_setting_want", R"sql(
  INSERT INTO device_setting (device_id, slot, key, wanted, override_reason)
  SELECT $1, $2, key, value, $5 FROM unnest($3::text[], $4::text[]) AS s (key, value)
      ON CONFLICT (device_id, slot, key)
      DO UPDATE SET wanted = excluded.wanted, wanted_at = now(), override_reason = excluded.override_reason)sql"};
constexpr Query kConfirm{"device_setting_confirm", R"sql(
  UPDATE device_setting SET confirmed = wanted, confirmed_at = now() WHERE device_id = $1 AND slot = $2)sql"};

}  // namespace

absl::StatusOr<std::vector<SettingRecord>> ListSettings(Tx& tx, std::int64_t device_id,
                                                        const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kList, device_id, slot));
  std::vector<SettingRecord> settings;
  for (const auto& row : rows) {
    SettingRecord& setting = settings.emplace_back();
    setting.slot = row[0].as<std::string>();
    setting.key = row[1].as<std::string>();
    setting.wanted = row[2].as<std::string>();
    if (!row[3].is_null()) setting.confirmed = row[3].as<std::string>();
    setting.confirmed_at = ToOptionalTime(row[4]);
    setting.override_reason = row[5].as<std::string>();
  }
  return settings;
}

absl::Status WantSettings(Tx& tx, std::int64_t device_id, const std::string& slot,
                          const std::vector<std::string>& keys, const std::vector<std::string>& values,
                          const std::string& override_reason) {
  return tx.Execute(kWant, device_id, slot, keys, values, override_reason).status();
}

absl::Status ConfirmSettings(Tx& tx, std::int64_t device_id, const std::string& slot) {
  return tx.Execute(kConfirm, device_id, slot).status();
}

}  // namespace phonepki::db
