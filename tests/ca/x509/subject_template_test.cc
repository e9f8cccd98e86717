#include "ca/x509/subject_template.h"

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using Strings = std::vector<std::string>;

EndPointNames Device(const nlohmann::json& item) {
  if (!item.contains("device")) {
    return {.mac = "001ae812345f",
            .ip = "10.1.2.3",
            .fqdn = "p1.example.com",
            .e164 = "+15615550100",
            .location = "Boca Raton"};
  }
  const auto& device = item["device"];
  return {.mac = device.value("mac", ""),
          .ip = device.value("ip", ""),
          .fqdn = device.value("fqdn", ""),
          .e164 = device.value("e164", ""),
          .location = device.value("location", "")};
}

TEST(SubjectTemplateTest, RendersEveryCaseOfTheTable) {
  const auto cases = testing::TestData("templates.json");
  ASSERT_GE(cases.size(), 40u);
  for (const auto& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const auto parsed = SubjectTemplate::Parse(item["template"].get<std::string>(), "subject_template");
    if (item.contains("parse_reason")) {
      EXPECT_REASON(parsed, item["parse_reason"].get<std::string>());
      EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(base::FieldOf(parsed.status()), "subject_template");
      continue;
    }
    ASSERT_OK(parsed);
    EXPECT_EQ(parsed->text(), item["template"].get<std::string>());
    const auto source = ParseNameSource(item["source"].get<std::string>(), "name_source");
    ASSERT_OK(source);
    const auto rendered = parsed->Render(Device(item), *source);
    if (item.contains("render_reason")) {
      EXPECT_REASON(rendered, item["render_reason"].get<std::string>());
      EXPECT_EQ(rendered.status().code(), absl::StatusCode::kFailedPrecondition);
      continue;
    }
    ASSERT_OK(rendered);
    EXPECT_EQ(rendered->subject.Print(), item["subject"].get<std::string>());
    if (item.contains("ip")) {
      EXPECT_EQ(rendered->names.ip, item["ip"].get<Strings>());
    }
    if (item.contains("dns")) {
      EXPECT_EQ(rendered->names.dns, item["dns"].get<Strings>());
    }
    EXPECT_TRUE(rendered->names.uri.empty());
  }
}

TEST(SubjectTemplateTest, NameSourcesParseAndPrint) {
  for (const char* name : {"ip", "fqdn", "fqdn-then-ip", "ip-then-fqdn"}) {
    const auto source = ParseNameSource(name, "f");
    ASSERT_OK(source);
    EXPECT_EQ(PrintNameSource(*source), name);
  }
  EXPECT_REASON(ParseNameSource("IP", "f"), "NAME_SOURCE_UNKNOWN");
  EXPECT_REASON(ParseNameSource("", "f"), "NAME_SOURCE_UNKNOWN");
}

}  // namespace
}  // namespace phonepki::ca
