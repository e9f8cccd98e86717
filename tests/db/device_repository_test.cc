#include "db/device_repository.h"

#include <thread>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include "tests/db/db_fixture.h"
#include "tests/testing/wait.h"

namespace phonepki::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class DeviceRepositoryTest : public DbFixture {
 protected:
  static DeviceRecord Phone(const std::string& mac) {
    DeviceRecord device;
    device.mac = mac;
    device.location_id = 1;
    return device;
  }
  std::vector<std::string> List(const DeviceFilter& filter, const std::string& after = "", int limit = 100) {
    std::vector<std::string> macs;
    for (const auto& device : Do([&](Tx& tx) { return ListDevices(tx, filter, after, limit); })) {
      macs.push_back(device.mac);
    }
    return macs;
  }
};

constexpr char kA[] = "00:1A:E8:00:00:0A";
constexpr char kB[] = "00:1A:E8:00:00:0B";
constexpr char kC[] = "00:1A:E9:00:00:0C";

TEST_F(DeviceRepositoryTest, AnUnknownPhoneRegistersItself) {
  DeviceRecord device = Phone(kA);
  device.e164 = "4989123";
  device.ip_address = "2001:db8::7";
  device.last_contact_reason = "start-up";
  const std::int64_t id = Do([&](Tx& tx) { return InsertRegisteredDevice(tx, device); });
  const DeviceRecord stored = Do([&](Tx& tx) { return GetDeviceByMac(tx, kA); });
  EXPECT_EQ(stored.id, id);
  EXPECT_EQ(stored.state, "registered");
  EXPECT_EQ(stored.ip_address, "2001:db8::7");
  EXPECT_EQ(stored.e164, "4989123");
  EXPECT_TRUE(stored.last_contact_at.has_value());
  EXPECT_FALSE(stored.knock_valid);
}

TEST_F(DeviceRepositoryTest, TheSlowerOfTwoFirstContactsStartsOverAndFindsThePhone) {
  ASSERT_NE(Do([&](Tx& tx) { return InsertRegisteredDevice(tx, Phone(kA)); }), 0);
  int runs = 0;
  Run([&](Tx& tx) -> absl::Status {
    if (++runs == 1) return InsertRegisteredDevice(tx, Phone(kA)).status();
    auto found = FindDeviceForUpdate(tx, kA);
    EXPECT_OK(found);
    EXPECT_TRUE(found->has_value());
    return absl::OkStatus();
  });
  EXPECT_EQ(runs, 2);
}

TEST_F(DeviceRepositoryTest, AContactTurnsAVirtualDeviceIntoARegisteredOneAndKeepsWhatPeopleWrote) {
  DeviceRecord imported = Phone(kA);
  imported.fqdn = "desk.example.net";
  imported.description = "Room 7";
  ASSERT_THAT(Do([&](Tx& tx) { return InsertVirtualDevices(tx, {imported}); }), SizeIs(1));
  DeviceRecord contact = Do([&](Tx& tx) { return GetDeviceByMac(tx, kA); });
  EXPECT_EQ(contact.state, "virtual");
  contact.ip_address = "10.9.9.9";
  contact.device_type = "OpenStage 40";
  Run([&](Tx& tx) { return UpdateDeviceContact(tx, contact); });
  const DeviceRecord now = Do([&](Tx& tx) { return GetDeviceByMac(tx, kA); });
  EXPECT_EQ(now.state, "registered");
  EXPECT_EQ(now.ip_address, "10.9.9.9");
  EXPECT_EQ(now.fqdn, "desk.example.net");
  EXPECT_EQ(now.description, "Room 7");
}

TEST_F(DeviceRepositoryTest, OneMessageOfAPhoneAtATime) {
  const std::int64_t id = AddDevice(10);
  auto other = OpenDatabase(1);
  std::atomic<bool> got_it{false};
  std::thread second;
  Run([&](Tx& tx) -> absl::Status {
    EXPECT_OK(FindDeviceForUpdate(tx, kA));
    second = std::thread([&] {
      EXPECT_OK(other->InTransaction("second", [&](Tx& mine) {
        absl::Status status = LockDevice(mine, id).status();
        got_it = true;
        return status;
      }));
    });
    EXPECT_TRUE(phonepki::testing::WaitUntil([&] {
      return Value<int>(
                 "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = "
                 "current_database()") == 1;
    }));
    EXPECT_FALSE(got_it);
    return absl::OkStatus();
  });
  second.join();
  EXPECT_TRUE(got_it);
}

TEST_F(DeviceRepositoryTest, ImportsAreSetBasedAndLeaveTheOthersAlone) {
  ASSERT_THAT(Do([&](Tx& tx) { return InsertVirtualDevices(tx, {Phone(kA), Phone(kB)}); }), SizeIs(2));
  DeviceRecord change = Phone(kB);
  change.description = "new";
  Run([&](Tx& tx) { return UpdateImportedDevices(tx, {change}); });
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceByMac(tx, kB); }).description, "new");
  EXPECT_EQ(Do([&](Tx& tx) { return GetDeviceByMac(tx, kA); }).description, "");
  EXPECT_THAT(Do([&](Tx& tx) { return FindDevicesByMac(tx, {kB, kC}); }), SizeIs(1));
}

TEST_F(DeviceRepositoryTest, ListsByEveryFilterInPages) {
  DeviceRecord a = Phone(kA), b = Phone(kB), c = Phone(kC);
  a.e164 = "49891";
  a.ip_address = "10.1.0.1";
  b.e164 = "49301";
  b.ip_address = "10.2.0.1";
  c.location_id = AddLocation("Berlin");
  ASSERT_THAT(Do([&](Tx& tx) { return InsertVirtualDevices(tx, {c, b, a}); }), SizeIs(3));
  EXPECT_THAT(List({}), ElementsAre(kA, kB, kC));
  EXPECT_THAT(List({}, kA, 1), ElementsAre(kB));
  EXPECT_THAT(List({.location_id = c.location_id}), ElementsAre(kC));
  EXPECT_THAT(List({.state = "registered"}), IsEmpty());
  EXPECT_THAT(List({.e164_prefix = "4989"}), ElementsAre(kA));
  EXPECT_THAT(List({.ip_network = "10.2.0.0/16"}), ElementsAre(kB));
  EXPECT_THAT(List({.mac_prefix = "00:1A:E8"}), ElementsAre(kA, kB));
  EXPECT_THAT(List({.mac_prefix = "00:1A:E8"}, kA), ElementsAre(kB));
  EXPECT_THAT(List({.mac_prefix = kA}), ElementsAre(kA)) << "a whole MAC is a prefix of itself";
}

TEST_F(DeviceRepositoryTest, AnInventoryGrowsByFragmentsAndStartsAnew) {
  const std::int64_t id = AddDevice(1);
  EXPECT_THAT(Do([&](Tx& tx) { return GetInventory(tx, id); }), IsEmpty());
  Run([&](Tx& tx) { return MergeInventory(tx, id, true, R"({"b":"1","a":"2"})"); });
  Run([&](Tx& tx) { return MergeInventory(tx, id, false, R"({"c[1]":"3","a":"4"})"); });
  EXPECT_THAT(Do([&](Tx& tx) { return GetInventory(tx, id); }),
              ElementsAre(Pair("a", "4"), Pair("b", "1"), Pair("c[1]", "3")));
  Run([&](Tx& tx) { return MergeInventory(tx, id, true, R"({"d":"5"})"); });
  EXPECT_THAT(Do([&](Tx& tx) { return GetInventory(tx, id); }), ElementsAre(Pair("d", "5")));
}

TEST_F(DeviceRepositoryTest, AReadBackIsKeptWithTheSlot) {
  const std::int64_t id = AddDevice(1);
  Run([&](Tx& tx) { return SetReadBack(tx, id, "wbm", "serial 1"); });
  Run([&](Tx& tx) { return SetReadBack(tx, id, "wbm", "serial 2"); });
  const auto slots = Do([&](Tx& tx) { return GetSlots(tx, id); });
  ASSERT_THAT(slots, SizeIs(1));
  EXPECT_EQ(slots[0].read_back, "serial 2");
  EXPECT_FALSE(slots[0].active.has_value());
}

TEST_F(DeviceRepositoryTest, ADeletedDeviceTakesItsJobsAlong) {
  const std::int64_t job = AddJob(1);
  Run([&](Tx& tx) { return DeleteDevice(tx, DeviceOf(job)); });
  EXPECT_CODE(database().InTransactionReturning("t", [&](Tx& tx) { return GetJob(tx, job); }), kNotFound);
  EXPECT_CODE(
      database().InTransactionReturning("t", [&](Tx& tx) { return GetDeviceByMac(tx, "00:1A:E8:00:00:01"); }),
      kNotFound);
}

}  // namespace
}  // namespace phonepki::db
