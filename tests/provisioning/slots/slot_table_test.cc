#include "provisioning/slots/slot_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <absl/strings/str_cat.h>

#include "tests/testing/status.h"

namespace phonepki::provisioning {
namespace {

constexpr char kFamilies[] = "families:\n  - {name: desk, device_types: [\"Desk *\", Exact]}\n";
constexpr char kNeeded[] =
    "slots:\n"
    "  - {name: wbm, title: W, holds: certificate, profile: wbm, item: w, encoding: pkcs12-base64, proof: "
    "probe, "
    "confirmed: true}\n"
    "  - {name: secure-mode, title: S, holds: certificate, profile: tls-client, item: s, encoding: "
    "pkcs12-base64, "
    "proof: secure-contact, confirmed: true}\n";

absl::StatusOr<SlotTable> With(const std::string& slot) {
  return SlotTable::Parse(absl::StrCat(kFamilies, kNeeded, "  - {", slot, "}\n"));
}

constexpr char kCa[] =
    "name: x-ca, title: X, holds: ca-certificates, item: x, encoding: pem, proof: accepted, confirmed: false";

TEST(SlotTableTest, TheBuiltInTableHasTheThirteenSlotsOfV3R3AndSpe) {
  const SlotTable& table = SlotTable::BuiltIn();
  int places = 0;
  for (const CertificateSlot& slot : table.slots()) {
    if (slot.holds != CertificateSlot::Holds::kSettings) places += slot.places();
  }
  // Thirteen (wpi.md 7.2), the credentials of secure mode, SPE, and two places for SPE CAs (current and
  // next).
  EXPECT_EQ(places, 13 + 1 + 1 + 2);
}

TEST(SlotTableTest, B_045_ThePolicyOfAServiceDependsOnFamilyAndFirmware) {
  const SlotTable& table = SlotTable::BuiltIn();
  EXPECT_EQ((*table.PolicyFor("sip", "OpenStage 60", "V3 R5.1.0"))->name, "sip-verification");
  EXPECT_EQ((*table.PolicyFor("sip", "OpenStage 60", "V2 R2.30.0"))->name, "tls-server-validation");
  EXPECT_EQ((*table.PolicyFor("sip", "optiPoint 420 advance", ""))->name, "tls-server-validation");
  EXPECT_REASON(table.PolicyFor("xml-app", "OpenStage 60", "V2 R2.30.0"), "SLOT_NOT_SUPPORTED");
  EXPECT_REASON(table.PolicyFor("fax", "OpenStage 60", "V3 R5.1.0"), "SLOT_NOT_SUPPORTED");
  EXPECT_REASON(table.Get("sip-verification", "certificate_type"), "CERTIFICATE_TYPE");
}

TEST(SlotTableTest, APolicyNamesCaSlotsAndHasWords) {
  const auto with = [](const std::string& setting) {
    return SlotTable::Parse(
        absl::StrCat(kFamilies, kNeeded, "  - {", kCa, "}\nsettings:\n  - {", setting, "}\n"));
  };
  const std::string item = "items: [{key: level, item: i, values: {none: a, full: b}}]";
  EXPECT_OK(with("name: s, title: S, service: sip, needs_ca: [x-ca], confirmed: false, " + item));
  EXPECT_REASON(with("name: s, title: S, service: sip, needs_ca: [wbm], confirmed: false, " + item),
                "SLOT_TABLE");
  EXPECT_REASON(with("name: s, title: S, service: sip, confirmed: false, items: [{key: a, item: i}]"),
                "SLOT_TABLE");
  EXPECT_REASON(with("name: s, title: S, confirmed: false, items: []"), "SLOT_TABLE");
}

TEST(SlotTableTest, OnlyWhatIsDocumentedIsCalledConfirmed) {
  std::vector<std::string> confirmed;
  for (const CertificateSlot& slot : SlotTable::BuiltIn().slots()) {
    if (slot.confirmed) confirmed.push_back(slot.item);
  }
  EXPECT_THAT(confirmed, ::testing::ElementsAre("wbm-server-certificate", "dls-client-certificate"));
}

TEST(SlotTableTest, TheTextOfTheBuiltInTableCanBeUsedAsAFile) {
  absl::StatusOr<SlotTable> table = SlotTable::Parse(SlotTable::BuiltInText());
  ASSERT_OK(table);
  EXPECT_EQ(table->slots().size(), SlotTable::BuiltIn().slots().size());
}

TEST(SlotTableTest, AnUnknownTypeIsRefusedWithTheKnownOnes) {
  absl::StatusOr<const CertificateSlot*> found = SlotTable::BuiltIn().Get("wmb", "certificate_type");
  EXPECT_REASON(found, "CERTIFICATE_TYPE");
  EXPECT_THAT(std::string(found.status().message()), ::testing::HasSubstr("secure-mode"));
}

TEST(SlotTableTest, MistakesAreReportedWithTheirLine) {
  for (const std::string& slot :
       {std::string(kCa) + ", prof: x", std::string("name: wbm, title: W, holds: certificate"),
        std::string(kCa) + ", indexes: [2, 1]", std::string(kCa) + ", indexes: 3",
        std::string(kCa) + ", supported_by: [{family: nobody}]",
        std::string(kCa) + ", supported_by: [{family: desk, from: soon}]",
        std::string(
            "name: y, title: Y, holds: keys, item: y, encoding: pem, proof: accepted, confirmed: false"),
        std::string("name: y, title: Y, holds: certificate, profile: mail, item: y, encoding: pem, proof: "
                    "accepted, confirmed: false"),
        std::string("name: y, title: Y, holds: ca-certificates, item: y, encoding: pkcs12-base64, proof: "
                    "accepted, confirmed: false"),
        std::string("name: y, title: Y, holds: certificate, profile: spe, item: y, encoding: pkcs12-base64, "
                    "pkcs12_encryption: rot13, proof: accepted, confirmed: false"),
        std::string("name: y, title: Y, holds: certificate, profile: spe, item: y, encoding: pkcs12-base64, "
                    "passphrase: secret, proof: accepted, confirmed: false"),
        std::string(
            "name: y, title: Y, holds: ca-certificates, encoding: pem, proof: accepted, confirmed: false")}) {
    absl::StatusOr<SlotTable> table = With(slot);
    EXPECT_REASON(table, "SLOT_TABLE") << slot;
    EXPECT_THAT(std::string(table.status().message()), ::testing::HasSubstr("line ")) << slot;
  }
  EXPECT_OK(With(kCa));
  EXPECT_REASON(SlotTable::Parse("slots: ["), "SLOT_TABLE");
  EXPECT_REASON(SlotTable::Parse(""), "SLOT_TABLE");
  EXPECT_REASON(SlotTable::Parse("- a"), "SLOT_TABLE");
}

TEST(SlotTableTest, ATableWithoutWbmOrSecureModeIsRefused) {
  EXPECT_REASON(SlotTable::Parse(absl::StrCat(kFamilies, "slots:\n  - {", kCa, "}\n")), "SLOT_TABLE");
}

TEST(SlotTableTest, SupportDependsOnFamilyAndFirmware) {
  absl::StatusOr<SlotTable> table = With(absl::StrCat(kCa, ", supported_by: [{family: desk, from: V3 R1}]"));
  ASSERT_OK(table);
  const CertificateSlot& slot = *table->Find("x-ca");
  EXPECT_OK(table->CheckSupport(slot, "Desk 40", "V3 R1.2.0"));
  EXPECT_OK(table->CheckSupport(slot, "Exact", "V4 R0"));
  EXPECT_REASON(table->CheckSupport(slot, "Desk 40", "V2 R9"), "SLOT_NOT_SUPPORTED");
  EXPECT_OK(table->CheckSupport(slot, "Desk 40", "")) << "unknown firmware is tried";
  EXPECT_OK(table->CheckSupport(slot, "Somebody else's", "V1 R0")) << "an unknown phone is tried";
  EXPECT_OK(table->CheckSupport(*table->Find("wbm"), "Desk 40", "V1 R0"));
}

TEST(SlotTableTest, AFamilyThatIsNotListedDoesNotHaveTheSlot) {
  absl::StatusOr<SlotTable> table = SlotTable::Parse(
      absl::StrCat("families:\n  - {name: desk, device_types: [D]}\n  - {name: soft, device_types: "
                   "[S]}\n",
                   kNeeded, "  - {", kCa, ", supported_by: [{family: desk}]}\n"));
  ASSERT_OK(table);
  EXPECT_OK(table->CheckSupport(*table->Find("x-ca"), "D", "V1 R0"));
  EXPECT_REASON(table->CheckSupport(*table->Find("x-ca"), "S", "V9 R0"), "SLOT_NOT_SUPPORTED");
}

}  // namespace
}  // namespace phonepki::provisioning
