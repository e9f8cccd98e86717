// B-065: the printed list.
#include "provisioning/security/pin_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phonepki::provisioning {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

std::string Print(const std::string& location, const std::vector<PinListRow>& rows) {
  return std::string(PrintPinList(location, rows, kNow, kNow + absl::Hours(24)).view());
}

TEST(PinListTest, B065HasARowForEachPhone) {
  std::vector<PinListRow> rows;
  rows.push_back({"00:1A:E8:00:00:01", "4917", base::Secret("48151623")});
  rows.push_back({"00:1A:E8:00:00:02", "4918", {}});
  const std::string page = Print("Bremen", rows);
  EXPECT_THAT(page,
              HasSubstr("<tr><td>00:1A:E8:00:00:01</td><td>4917</td><td class=\"pin\">48151623</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<tr><td>00:1A:E8:00:00:02</td><td>4918</td><td>shown before</td></tr>"));
  EXPECT_THAT(page, HasSubstr("2023-11-14 22:13 UTC"));
  EXPECT_THAT(page, HasSubstr("2023-11-15 22:13 UTC"));
  EXPECT_THAT(Print("Bremen", {}), HasSubstr("<tbody>\n</tbody>"));
}

TEST(PinListTest, EveryTextIsEscaped) {
  std::vector<PinListRow> rows;
  rows.push_back({"<script>", "a&b", base::Secret("\"'<")});
  const std::string page = Print("<i>R&D</i>", rows);
  EXPECT_THAT(page,
              HasSubstr("<td>&lt;script&gt;</td><td>a&amp;b</td><td class=\"pin\">&quot;&#39;&lt;</td>"));
  EXPECT_THAT(page, HasSubstr("<title>Security PINs: &lt;i&gt;R&amp;D&lt;/i&gt;</title>"));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<i>")));
}

}  // namespace
}  // namespace phonepki::provisioning
