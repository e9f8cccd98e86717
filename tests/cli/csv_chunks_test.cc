#include "cli/csv_chunks.h"

#include <gtest/gtest.h>

namespace phonepki::cli {
namespace {

TEST(SplitCsv, KeepsASmallFileWhole) {
  const auto chunks = SplitCsv("mac\n1\n2\n", 1000);
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].text, "mac\n1\n2\n");
  EXPECT_EQ(chunks[0].line_offset, 0);
}

TEST(SplitCsv, EveryChunkHasTheHeaderAndLineNumbersCanBeRestored) {
  const auto chunks = SplitCsv("mac\n11\n22\n33\n44", 10);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].text, "mac\n11\n22\n");
  EXPECT_EQ(chunks[1].text, "mac\n33\n44");
  EXPECT_EQ(2 + chunks[1].line_offset, 4);  // "33" is line 2 of its chunk and line 4 of the file
}

TEST(SplitCsv, ALineBreakInQuotesEndsNoRecord) {
  const auto chunks = SplitCsv("mac,description\n1,\"two\nlines\"\n2,x\n", 1);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].text, "mac,description\n1,\"two\nlines\"\n");
  EXPECT_EQ(2 + chunks[1].line_offset, 4);
}

TEST(SplitCsv, AStrayQuoteHoldsNothingTogether) {
  EXPECT_EQ(SplitCsv("mac,description\n1,23\" rack\n2,x\n", 1).size(), 2u);
  EXPECT_EQ(SplitCsv("mac,description\n1,\"open\n2,x\n3,\"a \"\"b\"\" c\"\"\n", 1).size(), 3u);
}

TEST(SplitCsv, EmptyAndHeaderOnlyFilesStillMakeOneCall) {
  EXPECT_EQ(SplitCsv("", 10).size(), 1u);
  EXPECT_EQ(SplitCsv("mac\n", 10).size(), 1u);
}

}  // namespace
}  // namespace phonepki::cli
