// B-065, B-066: PINs as the dialogue with a phone uses them. What people see is in
// tests/e2e/secure_mode_test.py.
#include "provisioning/security/security_pins.h"

#include <gtest/gtest.h>

#include "tests/testing/postgres.h"

namespace phonepki::provisioning {
namespace {

class SecurityPinsTest : public phonepki::testing::PostgresTest {
 protected:
  using Device = std::optional<std::int64_t>;

  std::int64_t AddDevice(const std::string& mac) {
    return Value<std::int64_t>("INSERT INTO device (mac, location_id) VALUES ('" + mac +
                               "', 1) RETURNING id");
  }
  static std::string Text(const base::Secret& pin) { return std::string(pin.view()); }
  std::string ForEnrolment(Device device) {
    return Text(Do([&](db::Tx& tx) { return pins_.ForEnrolment(tx, device); }));
  }
  // "-" when there is none.
  std::string ForTan(Device device) {
    const auto pin = Do([&](db::Tx& tx) { return pins_.ForTan(tx, device); });
    return pin ? Text(*pin) : "-";
  }

  const ca::Keystore keystore_{*ca::MasterKey::FromOctets(base::Secret(std::string(32, 'k')))};
  SecurityPins pins_{database(), keystore_, PinOptions()};
  const std::int64_t device_ = AddDevice("00:1A:E8:00:00:01");
};

TEST_F(SecurityPinsTest, B065ThePhoneGetsThePinThatPeopleSee) {
  EXPECT_EQ(ForTan({}), "-");
  EXPECT_EQ(ForTan(device_), "-");
  const std::string common = ForEnrolment({});
  const std::string own = ForEnrolment(device_);
  EXPECT_NE(common, own);
  EXPECT_EQ(ForEnrolment({}), common);
  EXPECT_EQ(ForEnrolment(device_), own);
  EXPECT_EQ(ForTan({}), common);
  EXPECT_EQ(ForTan(device_), own);
  EXPECT_EQ(Text(pins_.ViewDefault("test")->pin), common);
  EXPECT_EQ(Text(pins_.ViewDevice("00:1A:E8:00:00:01", "test")->pin), own);
  EXPECT_REASON(pins_.ViewDevice("00:1A:E8:00:00:01", "test"), "PIN_ALREADY_VIEWED");
  EXPECT_EQ(ForTan(device_), own) << "a PIN that was viewed is as good as before";
}

TEST_F(SecurityPinsTest, AnExpiredPinIsNoPin) {
  const std::string first = ForEnrolment(device_);
  Sql("UPDATE security_pin SET expires_at = now()");
  EXPECT_EQ(ForTan(device_), "-");
  EXPECT_NE(ForEnrolment(device_), first);
}

TEST_F(SecurityPinsTest, APinDoesNotOpenForAnotherPhone) {
  const std::int64_t other = AddDevice("00:1A:E8:00:00:02");
  ForEnrolment(device_);
  Sql("UPDATE security_pin SET device_id = " + std::to_string(other));
  EXPECT_REASON(
      database().InTransactionReturning("t", [&](db::Tx& tx) { return pins_.ForTan(tx, Device(other)); }),
      "KEYSTORE_BLOB_REFUSED");
}

TEST_F(SecurityPinsTest, ADeadRandomSourceGivesNoPin) {
  PinOptions options;
  options.random = [](std::uint8_t*, std::size_t) { return false; };
  SecurityPins pins(database(), keystore_, options);
  EXPECT_REASON(pins.ViewDefault("test"), "RANDOM_SOURCE");
  EXPECT_EQ(Value<int>("SELECT count(*) FROM security_pin"), 0);
}

}  // namespace
}  // namespace phonepki::provisioning
