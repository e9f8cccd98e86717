// Points in time and durations as people write and read them: local time, minutes and seconds.
#pragma once

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <google/protobuf/timestamp.pb.h>

namespace phonepki::cli {

// now | +2h30m | 2026-12-01 | 2026-12-01 02:00[:00] | RFC 3339 with its own offset. A time without an offset
// is in `zone`; one that a clock change skips there is refused. kInvalidArgument names `field`.
absl::StatusOr<absl::Time> ParseTime(const std::string& text, absl::Time now, absl::TimeZone zone,
                                     const std::string& field);

// 30s, 2m, 1h30m, 7d; digits alone are seconds. Must be positive.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& text, const std::string& field);

// The same day and time of day, years later; 29 February becomes 1 March.
absl::Time AddYears(absl::Time time, std::int64_t years, absl::TimeZone zone);

// "2026-12-01 02:00"; with_zone adds seconds and offset.
std::string TimeText(absl::Time time, absl::TimeZone zone, bool with_zone = false);
// Empty for a timestamp that is not set.
std::string TimeText(const google::protobuf::Timestamp& time, absl::TimeZone zone, bool with_zone = false);

// "00:03", "1:02:03", "3d 04h".
std::string SpanText(absl::Duration duration);

google::protobuf::Timestamp ToProto(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace phonepki::cli
