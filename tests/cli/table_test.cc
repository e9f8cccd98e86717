#include "cli/table.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phonepki::cli {
namespace {

std::string Print(const Table& table, int width, bool color = false) {
  std::ostringstream out;
  table.Print(out, {width, color});
  return out.str();
}

TEST(TerminalText, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("Bremen"), 6);
  EXPECT_EQ(DisplayWidth("Köln"), 4);
  EXPECT_EQ(DisplayWidth("東京"), 4);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1);  // combining acute
  EXPECT_EQ(DisplayWidth("📞"), 2);
}

TEST(TerminalText, TruncateEndsWithEllipsisAndNeverSplitsACharacter) {
  EXPECT_EQ(Truncate("München", 7), "München");
  EXPECT_EQ(Truncate("München", 4), "Mün…");
  EXPECT_EQ(Truncate("東京都", 4), "東…");
  EXPECT_EQ(Truncate("x", 0), "");
}

TEST(TerminalText, ControlCharactersCannotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b]0;owned\x07z"), "a\xEF\xBF\xBD]0;owned\xEF\xBF\xBDz");
  EXPECT_EQ(Printable("two\nlines"), "two lines");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m"),
            "\xEF\xBF\xBD"
            "31m");                                            // C1 CSI
  EXPECT_EQ(Printable("\xE2\x80\xAEgnp"), "\xEF\xBF\xBDgnp");  // right-to-left override
  EXPECT_EQ(Printable("\xFF\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(Printable("Köln 東京"), "Köln 東京");
}

TEST(Table, AlignsColumns) {
  Table table({{"ID"}, {"LOCATION"}, {"DEVICES", true}});
  table.Add({"7", "Köln", "12"});
  table.Add({"12", "Bremen", "4000"});
  EXPECT_EQ(Print(table, 80),
            "ID  LOCATION  DEVICES\n"
            "7   Köln           12\n"
            "12  Bremen       4000\n");
}

TEST(Table, ElasticColumnsGiveWayFirstAndNoLineIsTooLong) {
  Table table({{"MAC"}, {"DESCRIPTION", false, true}, {"STATE"}});
  table.Add({"00:1A:E8:00:00:01", std::string(80, 'd'), "registered"});
  for (int width = 30; width < 130; ++width) {
    std::istringstream lines(Print(table, width));
    std::string line;
    while (std::getline(lines, line)) EXPECT_LE(DisplayWidth(line), width) << line;
  }
  EXPECT_THAT(Print(table, 60), ::testing::HasSubstr("00:1A:E8:00:00:01"));
  EXPECT_THAT(Print(table, 60), ::testing::HasSubstr("d…"));
  EXPECT_THAT(Print(table, 60), ::testing::HasSubstr("registered"));
}

TEST(Table, WidthZeroCutsNothing) {
  Table table({{"A", false, true}});
  table.Add({std::string(500, 'x')});
  EXPECT_THAT(Print(table, 0), ::testing::HasSubstr(std::string(500, 'x')));
}

TEST(Table, ColorsOnlyWhenAsked) {
  Table table({{"STATE"}});
  table.Add({Cell("failed", Color::kRed)});
  EXPECT_THAT(Print(table, 80, false), ::testing::Not(::testing::HasSubstr("\x1b")));
  EXPECT_THAT(Print(table, 80, true), ::testing::HasSubstr("\x1b[31mfailed\x1b[0m"));
}

TEST(Sheet, AlignsValuesAndLeavesOutEmptyOnes) {
  Sheet sheet;
  sheet.Add("CA Name", "Köln");
  sheet.Add("Parent", "");
  sheet.Add("Valid to", "2036");
  std::ostringstream out;
  sheet.Print(out, {});
  EXPECT_EQ(out.str(), "CA Name:   Köln\nValid to:  2036\n");
}

}  // namespace
}  // namespace phonepki::cli
