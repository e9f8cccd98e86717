#include "cli/time_text.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace phonepki::cli {
namespace {

absl::TimeZone Berlin() {
  absl::TimeZone zone;
  EXPECT_TRUE(absl::LoadTimeZone("Europe/Berlin", &zone));
  return zone;
}

const absl::Time kNow = absl::FromUnixSeconds(1'790'000'000);

std::string Utc(const std::string& text, absl::TimeZone zone) {
  auto time = ParseTime(text, kNow, zone, "deploy-date");
  return time.ok() ? absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", *time, absl::UTCTimeZone())
                   : time.status().ToString();
}

TEST(ParseTime, UnderstandsWhatPeopleWrite) {
  EXPECT_EQ(Utc("2026-12-01 02:00", Berlin()), "2026-12-01T01:00:00Z");
  EXPECT_EQ(Utc("2026-07-01T02:00:30", Berlin()), "2026-07-01T00:00:30Z");
  EXPECT_EQ(Utc("2026-12-01", Berlin()), "2026-11-30T23:00:00Z");
  EXPECT_EQ(Utc("2026-12-01T02:00:00Z", Berlin()), "2026-12-01T02:00:00Z");
  EXPECT_EQ(Utc("2026-12-01T02:00:00-05:00", Berlin()), "2026-12-01T07:00:00Z");
  EXPECT_EQ(*ParseTime("now", kNow, Berlin(), ""), kNow);
  EXPECT_EQ(*ParseTime("+2h30m", kNow, Berlin(), ""), kNow + absl::Minutes(150));
  EXPECT_EQ(*ParseTime("+2d", kNow, Berlin(), ""), kNow + absl::Hours(48));
}

TEST(ParseTime, RefusesWhatIsNoTimeAndNamesTheField) {
  for (const char* text :
       {"", "tomorrow", "2026-13-01", "2026-12-01 25:00", "02:00", "+", "-2h", "2026-02-30"}) {
    auto time = ParseTime(text, kNow, Berlin(), "deploy-date");
    EXPECT_EQ(time.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(base::FieldOf(time.status()), "deploy-date");
  }
}

TEST(ParseTime, RefusesATimeThatTheClockChangeSkips) {
  EXPECT_EQ(base::ReasonOf(ParseTime("2027-03-28 02:30", kNow, Berlin(), "deploy-date").status()),
            "TIME_SKIPPED");
  EXPECT_TRUE(ParseTime("2027-03-28 03:30", kNow, Berlin(), "deploy-date").ok());
}

TEST(ParseDuration, NumbersAreSeconds) {
  EXPECT_EQ(*ParseDuration("30", ""), absl::Seconds(30));
  EXPECT_EQ(*ParseDuration("1h30m", ""), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("7d", ""), absl::Hours(168));
  EXPECT_EQ(*ParseDuration("500ms", ""), absl::Milliseconds(500));
  for (const char* text : {"", "0", "-1s", "soon", "inf", "d"})
    EXPECT_FALSE(ParseDuration(text, "").ok()) << text;
}

TEST(AddYears, KeepsTheTimeOfDay) {
  const absl::Time start = absl::FromCivil(absl::CivilSecond(2026, 12, 1, 2, 0, 0), Berlin());
  EXPECT_EQ(TimeText(AddYears(start, 10, Berlin()), Berlin()), "2036-12-01 02:00");
  const absl::Time leap = absl::FromCivil(absl::CivilSecond(2028, 2, 29), Berlin());
  EXPECT_EQ(TimeText(AddYears(leap, 1, Berlin()), Berlin()), "2029-03-01 00:00");
}

TEST(SpanText, GrowsWithTheSpan) {
  EXPECT_EQ(SpanText(absl::Seconds(3)), "00:03");
  EXPECT_EQ(SpanText(absl::Seconds(3723)), "1:02:03");
  EXPECT_EQ(SpanText(absl::Hours(76)), "3d 04h");
  EXPECT_EQ(SpanText(absl::Seconds(-5)), "00:00");
}

TEST(TimeText, LocalForPeople) {
  EXPECT_EQ(TimeText(ToProto(absl::FromCivil(absl::CivilSecond(2026, 12, 1, 1, 0, 0), absl::UTCTimeZone())),
                     Berlin(), true),
            "2026-12-01 02:00:00 +01:00");
  EXPECT_EQ(TimeText(google::protobuf::Timestamp(), Berlin()), "");
}

}  // namespace
}  // namespace phonepki::cli
