#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include <absl/time/clock.h>
#include <absl/time/time.h>

namespace phonepki::base {
namespace {

spdlog::logger& Sink() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made =
        std::make_shared<spdlog::logger>("phonepki", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

constexpr struct {
  LogLevel level;
  const char* name;
  spdlog::level::level_enum spd;
} kLevels[] = {{LogLevel::kDebug, "debug", spdlog::level::debug},
               {LogLevel::kInfo, "info", spdlog::level::info},
               {LogLevel::kWarn, "warn", spdlog::level::warn},
               {LogLevel::kError, "error", spdlog::level::err}};

}  // namespace

void SetLogLevel(LogLevel level) {
  Sink().set_level(kLevels[static_cast<int>(level)].spd);
}

bool ParseLogLevel(std::string_view name, LogLevel* level) {
  for (const auto& known : kLevels) {
    if (name == known.name) {
      *level = known.level;
      return true;
    }
  }
  return false;
}

void Log(LogLevel level, std::string_view event, LogFields fields) {
  const auto& known = kLevels[static_cast<int>(level)];
  if (!Sink().should_log(known.spd)) return;
  nlohmann::ordered_json line;
  line["ts"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  line["level"] = known.name;
  line["event"] = std::string(event);
  for (const LogField& field : fields) {
    std::visit([&](const auto& value) { line[field.key] = value; }, field.value);
  }
  // Text from phones may hold invalid UTF-8; replace it instead of failing.
  Sink().log(known.spd, line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace phonepki::base
