#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/terminal_text.h"

namespace phonepki::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ProgressRow Bremen() {
  ProgressRow row;
  row.label = "Bremen";
  row.figures.set_total(100);
  row.figures.set_running(30);
  row.figures.set_succeeded(60);
  row.figures.set_failed(3);
  row.figures.set_timed_out(1);
  row.figures.set_deferred_busy(2);
  row.figures.set_deferred_offline(1);
  row.figures.set_verifying(3);
  row.rate = 12.0;
  return row;
}

TEST(RenderBars, ShowsEverythingWhenThereIsRoom) {
  EXPECT_THAT(
      RenderBars({Bremen()}, 140, false),
      ::testing::ElementsAre("Bremen  ███████████████████░░░░░░░░░░░   64%  64/100  ok 60  failed 4  busy 2  "
                             "offline 1  verifying 3  12/s  ETA 00:03"));
}

TEST(RenderBars, LeavesOutTheLessImportantThenNeverExceedsTheWidth) {
  ProgressRow total = Bremen();
  total.label = "A location with a name that is much too long";
  for (int width = 10; width < 160; ++width) {
    for (const std::string& line : RenderBars({Bremen(), total}, width, false)) {
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
  const std::string narrow = RenderBars({Bremen()}, 60, false)[0];
  EXPECT_THAT(narrow, HasSubstr("ok 60"));
  EXPECT_THAT(narrow, HasSubstr("failed 4"));
  EXPECT_THAT(narrow, Not(HasSubstr("verifying")));
}

TEST(RenderBars, LinesUpColumns) {
  ProgressRow small = Bremen();
  small.label = "Ulm";
  small.figures.set_succeeded(0);
  const auto lines = RenderBars({Bremen(), small}, 140, false);
  EXPECT_EQ(lines[0].find("failed"), lines[1].find("failed"));
}

TEST(RenderBars, SaysWhenItIsDoneOrHasNotBegun) {
  ProgressRow row = Bremen();
  row.figures.Clear();
  row.figures.set_total(2);
  row.figures.set_succeeded(2);
  EXPECT_THAT(RenderBars({row}, 120, false)[0], HasSubstr("100%"));
  EXPECT_THAT(RenderBars({row}, 120, false)[0], HasSubstr("done"));
  row.figures.Clear();
  row.remark = "starts 2026-12-01 02:00";
  EXPECT_THAT(RenderBars({row}, 120, false)[0], HasSubstr("starts 2026-12-01 02:00"));
}

TEST(RenderBars, APhoneCannotSteerTheTerminal) {
  ProgressRow row = Bremen();
  row.label = "Br\x1b[2Jemen";
  EXPECT_THAT(RenderBars({row}, 140, false)[0], Not(HasSubstr("\x1b")));
}

TEST(RenderPlain, IsOneLineWithAllFigures) {
  EXPECT_EQ(RenderPlain(Bremen()),
            "Bremen  64/100  64%  ok 60  failed 4  busy 2  offline 1  verifying 3  cancelled 0  open 30  "
            "12/s  ETA 00:03");
}

TEST(RenderBars, PhonesThatAreToComeCountAndTheWaveIsSaid) {
  ProgressRow waves = Bremen(), without = Bremen();
  waves.figures.set_wave(1);
  waves.figures.set_waves(2);
  waves.figures.set_phones_to_come(28);
  const auto lines = RenderBars({waves, without}, 160, false);
  EXPECT_THAT(lines[0], HasSubstr(" 50%  64/128  wave 1/2  ok 60"));
  EXPECT_THAT(lines[1], HasSubstr(" 64%  64/100            ok 60"));
  EXPECT_THAT(RenderPlain(waves), HasSubstr("Bremen  64/128  50%  wave 1/2  ok 60"));
  waves.figures.Clear();
  waves.figures.set_phones_to_come(1);
  EXPECT_FALSE(AllSucceeded(waves.figures));
}

TEST(Bar, IsFullOnlyAtTheEnd) {
  EXPECT_EQ(Bar(0, 4), "░░░░");
  EXPECT_EQ(Bar(0.99, 4), "███░");
  EXPECT_EQ(Bar(1, 4), "████");
}

TEST(RateMeter, LooksAtTheLastHalfMinute) {
  const absl::Time t0 = absl::FromUnixSeconds(1000);
  RateMeter meter;
  EXPECT_EQ(meter.PerSecond(t0), 0);
  for (int i = 0; i <= 100; ++i) meter.Add(t0 + absl::Seconds(i), i < 60 ? 0 : (i - 60) * 5);
  EXPECT_NEAR(meter.PerSecond(t0 + absl::Seconds(100)), 5, 0.01);
  // Nothing more happens: the rate fades.
  EXPECT_LT(meter.PerSecond(t0 + absl::Seconds(200)), 2);
  // Jobs were put back: start anew.
  meter.Add(t0 + absl::Seconds(201), 0);
  EXPECT_EQ(meter.PerSecond(t0 + absl::Seconds(202)), 0);
}

TEST(AllSucceeded, CountsOnlySuccess) {
  deployment::v1::Progress progress;
  EXPECT_TRUE(AllSucceeded(progress));
  progress.set_total(2);
  progress.set_succeeded(1);
  progress.set_cancelled(1);
  EXPECT_EQ(DoneCount(progress), 2);
  EXPECT_FALSE(AllSucceeded(progress));
}

}  // namespace
}  // namespace phonepki::cli
