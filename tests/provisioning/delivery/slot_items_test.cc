#include "provisioning/delivery/slot_items.h"

#include <gtest/gtest.h>

namespace phonepki::provisioning {
namespace {

phone::WorkpointMessage Answer(const std::string& item, const std::string& value) {
  phone::WorkpointMessage message;
  message.items.push_back({item, std::nullopt, value, ""});
  return message;
}

TEST(SlotItems, U5_TheSerialNumberIsFoundByTheSlotsPrefixes) {
  const CertificateSlot& wbm = *SlotTable::BuiltIn().Find("wbm");
  EXPECT_EQ(SerialOf(wbm, "Subject: CN=phone\r\nSerial Number: 0A:1B:2C\r\n"), "0a1b2c");
  EXPECT_EQ(SerialOf(wbm, "subject=CN=phone;serialNumber=0A1B2C"), "0a1b2c");
  EXPECT_EQ(SerialOf(wbm, "a certificate"), "");
}

TEST(SlotItems, ALongInfoIsCutWhereTheDatabaseCanTakeIt) {
  const CertificateSlot& wbm = *SlotTable::BuiltIn().Find("wbm");
  std::string value = "a";
  while (value.size() < 9000) value += "ü";
  const std::string info = InfoOf(wbm, Answer(wbm.info_item, value));
  EXPECT_EQ(info.size(), 7999u);
  EXPECT_EQ(value.substr(0, 7999), info);
}

TEST(SlotItems, PlacesAreTheIndexesOfTheItem) {
  const CertificateSlot& pair = *SlotTable::BuiltIn().Find("xml-app-ca");
  EXPECT_EQ(pair.first_place(), 1);
  EXPECT_EQ(pair.places(), 2);
  EXPECT_EQ(CaItem(pair, 2, {1}).index, 2);
  EXPECT_EQ(DeletionItem(pair, 1).value, "");
  const CertificateSlot& single = *SlotTable::BuiltIn().Find("sip-ca");
  EXPECT_EQ(single.places(), 1);
  EXPECT_EQ(CaItem(single, single.first_place(), {1}).index, std::nullopt);
}

}  // namespace
}  // namespace phonepki::provisioning
