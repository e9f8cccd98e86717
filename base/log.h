// One JSON line per event on standard error: {"ts":…,"level":…,"event":…, fields…}.
// The event name is a constant, data goes into fields. Secrets never.
//
//   base::LogInfo("knock_sent", {{"device", mac}, {"job", job_id}});
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include <absl/status/status.h>

namespace phonepki::base {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

struct LogField {
  using Value = std::variant<std::string, std::int64_t, double, bool>;

  LogField(const char* k, std::string v) : key(k), value(std::move(v)) {}
  LogField(const char* k, const char* v) : key(k), value(std::string(v)) {}
  LogField(const char* k, std::string_view v) : key(k), value(std::string(v)) {}
  LogField(const char* k, bool v) : key(k), value(v) {}
  LogField(const char* k, double v) : key(k), value(v) {}
  template <typename T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) LogField(const char* k, T v)
      : key(k), value(static_cast<std::int64_t>(v)) {}
  LogField(const char* k, const absl::Status& v) : key(k), value(v.ToString()) {}

  const char* key;
  Value value;
};

using LogFields = std::initializer_list<LogField>;

// Lines below this level are dropped. Default kInfo. Thread-safe.
void SetLogLevel(LogLevel level);
// "debug" | "info" | "warn" | "error"; false when `name` is none of them.
bool ParseLogLevel(std::string_view name, LogLevel* level);

void Log(LogLevel level, std::string_view event, LogFields fields = {});

inline void LogDebug(std::string_view event, LogFields fields = {}) {
  Log(LogLevel::kDebug, event, fields);
}
inline void LogInfo(std::string_view event, LogFields fields = {}) {
  Log(LogLevel::kInfo, event, fields);
}
inline void LogWarn(std::string_view event, LogFields fields = {}) {
  Log(LogLevel::kWarn, event, fields);
}
inline void LogError(std::string_view event, LogFields fields = {}) {
  Log(LogLevel::kError, event, fields);
}

}  // namespace phonepki::base
