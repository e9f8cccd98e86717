#include "cli/time_text.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"

namespace phonepki::cli {

absl::StatusOr<absl::Time> ParseTime(const std::string& text, absl::Time now, absl::TimeZone zone,
                                     const std::string& field) {
  const std::string trimmed(absl::StripAsciiWhitespace(text));
  if (absl::EqualsIgnoreCase(trimmed, "now")) return now;
  if (!trimmed.empty() && trimmed[0] == '+') {
    absl::StatusOr<absl::Duration> offset = ParseDuration(trimmed.substr(1), field);
    if (!offset.ok()) return offset.status();
    return now + *offset;
  }
  absl::Time absolute;
  if (absl::ParseTime(absl::RFC3339_full, trimmed, &absolute, nullptr)) return absolute;
  absl::CivilSecond civil;
  const std::string joined = absl::StrReplaceAll(trimmed, {{" ", "T"}});
  absl::CivilDay day;
  absl::CivilMinute minute;
  if (absl::ParseCivilTime(joined, &day)) {
    civil = absl::CivilSecond(day);
  } else if (absl::ParseCivilTime(joined, &minute)) {
    civil = absl::CivilSecond(minute);
  } else if (!absl::ParseCivilTime(joined, &civil)) {
    return base::InvalidField(
        field, "TIME_FORMAT",
        absl::StrCat("\"", text, "\" is no time; write now, +2h, '2026-12-01 02:00' (local time) ",
                     "or 2026-12-01T02:00:00+01:00"));
  }
  const absl::TimeZone::TimeInfo info = zone.At(civil);
  if (info.kind == absl::TimeZone::TimeInfo::SKIPPED) {
    return base::InvalidField(field, "TIME_SKIPPED",
                              absl::StrCat("\"", text, "\" does not exist in ", zone.name(),
                                           ": the clocks are put forward over it"));
  }
  return info.pre;
}

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text, const std::string& field) {
  absl::Duration duration;
  std::int64_t number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    duration = absl::Seconds(number);
  } else if (!text.empty() && text.back() == 'd' &&
             absl::SimpleAtoi(text.substr(0, text.size() - 1), &number)) {
    duration = absl::Hours(24) * number;
  } else if (!absl::ParseDuration(text, &duration)) {
    duration = absl::ZeroDuration();
  }
  if (duration <= absl::ZeroDuration() || duration == absl::InfiniteDuration()) {
    return base::InvalidField(field, "DURATION_FORMAT",
                              absl::StrCat("\"", text, "\" is no duration; write 30s, 5m, 1h30m or 7d"));
  }
  return duration;
}

absl::Time AddYears(absl::Time time, std::int64_t years, absl::TimeZone zone) {
  const absl::TimeZone::CivilInfo info = zone.At(time);
  const absl::CivilSecond& from = info.cs;
  const absl::CivilSecond to(from.year() + years, from.month(), from.day(), from.hour(), from.minute(),
                             from.second());
  return absl::FromCivil(to, zone) + info.subsecond;
}

std::string TimeText(absl::Time time, absl::TimeZone zone, bool with_zone) {
  return absl::FormatTime(with_zone ? "%Y-%m-%d %H:%M:%S %Ez" : "%Y-%m-%d %H:%M", time, zone);
}

std::string TimeText(const google::protobuf::Timestamp& time, absl::TimeZone zone, bool with_zone) {
  if (time.seconds() == 0 && time.nanos() == 0) return "";
  return TimeText(FromProto(time), zone, with_zone);
}

std::string SpanText(absl::Duration duration) {
  const std::int64_t seconds =
      std::max<std::int64_t>(0, absl::ToInt64Seconds(duration + absl::Milliseconds(500)));
  if (seconds < 3600) return absl::StrFormat("%02d:%02d", seconds / 60, seconds % 60);
  if (seconds < 86400)
    return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return absl::StrFormat("%dd %02dh", seconds / 86400, seconds / 3600 % 24);
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const std::int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int>((time - absl::FromUnixSeconds(seconds)) / absl::Nanoseconds(1)));
  return proto;
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace phonepki::cli
