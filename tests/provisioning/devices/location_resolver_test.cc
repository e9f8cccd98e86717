#include "provisioning/devices/location_resolver.h"

#include <gtest/gtest.h>

#include "tests/testing/status.h"

namespace phonepki::provisioning {
namespace {

constexpr char kMac[] = "00:1A:E8:00:00:01";

// A location per call, with ids 10, 11, …; 1 is the default.
class LocationResolverTest : public ::testing::Test {
 protected:
  LocationResolverTest() {
    db::LocationRecord fallback;
    fallback.id = 1;
    fallback.is_default = true;
    fallback.priority = 0;
    locations_.push_back(fallback);
  }
  std::int64_t Add(const std::string& kind, std::string value, int priority = 100) {
    db::LocationRuleRecord rule{kind, std::move(value)};
    EXPECT_OK(CheckLocationRule(rule, "rules[0].value"));
    db::LocationRecord location;
    location.id = 9 + static_cast<std::int64_t>(locations_.size());
    location.priority = priority;
    location.rules = {rule};
    locations_.push_back(location);
    return location.id;
  }
  std::int64_t Resolve(const db::PlacementRecord& device) const {
    return LocationResolver(locations_).Resolve(device);
  }
  std::int64_t AtAddress(const std::string& address) const { return Resolve({0, kMac, "", address, "", 0}); }
  std::int64_t WithNumber(const std::string& e164) const { return Resolve({0, kMac, e164, "", "", 0}); }
  std::int64_t OfType(const std::string& type) const { return Resolve({0, kMac, "", "", type, 0}); }

  std::vector<db::LocationRecord> locations_;
};

TEST_F(LocationResolverTest, APhoneThatNoRuleTakesGoesToTheDefault) {
  Add("cidr", "10.0.0.0/8");
  Add("e164_prefix", "49");
  Add("device_type", "OpenStage*");
  EXPECT_EQ(Resolve({}), 1);
  EXPECT_EQ(Resolve({0, kMac, "1", "192.0.2.1", "CP400", 0}), 1);
}

TEST_F(LocationResolverTest, NetworksEndAtTheBit) {
  const std::int64_t location = Add("cidr", "10.1.16.0/20");
  EXPECT_EQ(AtAddress("10.1.16.0"), location);
  EXPECT_EQ(AtAddress("10.1.31.255"), location);
  EXPECT_EQ(AtAddress("10.1.32.0"), 1);
  EXPECT_EQ(AtAddress("10.1.15.255"), 1);
}

TEST_F(LocationResolverTest, TheMoreSpecificNetworkWins) {
  const std::int64_t all = Add("cidr", "0.0.0.0/0"), site = Add("cidr", "10.1.0.0/16");
  const std::int64_t host = Add("cidr", "10.1.2.3");
  EXPECT_EQ(AtAddress("10.1.2.3"), host);
  EXPECT_EQ(AtAddress("10.1.2.4"), site);
  EXPECT_EQ(AtAddress("203.0.113.1"), all);
}

TEST_F(LocationResolverTest, Version6IsItsOwnWorld) {
  const std::int64_t four = Add("cidr", "0.0.0.0/0"), six = Add("cidr", "2001:db8::/33");
  EXPECT_EQ(AtAddress("2001:db8:7fff::1"), six);
  EXPECT_EQ(AtAddress("2001:db8:8000::1"), 1);
  EXPECT_EQ(AtAddress("2001:0DB8:0000::A"), six);
  EXPECT_EQ(AtAddress("32.1.13.184"), four) << "the same first octets";
}

TEST_F(LocationResolverTest, IPv4InTheClothesOfIPv6IsIPv4) {
  const std::int64_t site = Add("cidr", "::ffff:10.1.0.0/112"), host = Add("cidr", "::ffff:10.1.2.3");
  EXPECT_EQ(AtAddress("10.1.9.9"), site);
  EXPECT_EQ(AtAddress("::ffff:10.1.9.9"), site);
  EXPECT_EQ(AtAddress("10.1.2.3"), host);
  EXPECT_EQ(AtAddress("10.2.0.1"), 1);
  db::LocationRuleRecord rule{"cidr", "::ffff:10.1.2.3/104"};
  EXPECT_OK(CheckLocationRule(rule, "rules[0].value"));
  EXPECT_EQ(rule.value, "10.0.0.0/8");
  for (const char* wrong : {"::ffff:10.1.2.3/95", "::ffff:10.1.2.3/129", "10.1.2.3/33", "10.1.2.3/-1"}) {
    rule = {"cidr", wrong};
    EXPECT_REASON(CheckLocationRule(rule, "rules[0].value"), "RULE_CIDR") << wrong;
  }
}

TEST_F(LocationResolverTest, WhatIsNoAddressMatchesNoNetwork) {
  Add("cidr", "0.0.0.0/0");
  Add("cidr", "::/0");
  for (const char* text : {"", "10.0.0", "10.0.0.256", "phone", "10.0.0.1 "})
    EXPECT_EQ(AtAddress(text), 1) << text;
}

TEST_F(LocationResolverTest, TheLongestNumberPrefixWins) {
  const std::int64_t germany = Add("e164_prefix", "49"), munich = Add("e164_prefix", "4989");
  EXPECT_EQ(WithNumber("4989123"), munich);
  EXPECT_EQ(WithNumber("4989"), munich);
  EXPECT_EQ(WithNumber("498"), germany);
  EXPECT_EQ(WithNumber("4"), 1);
  EXPECT_EQ(WithNumber(""), 1);
}

TEST_F(LocationResolverTest, APriorityBeatsASpecificRule) {
  const std::int64_t wide = Add("e164_prefix", "49", 200);
  Add("e164_prefix", "4989", 100);
  EXPECT_EQ(WithNumber("4989123"), wide);
}

TEST_F(LocationResolverTest, AnExactTypeWinsOverItsPrefix) {
  const std::int64_t family = Add("device_type", "OpenStage 40*"), exact = Add("device_type", "OpenStage 40");
  EXPECT_EQ(OfType("OpenStage 40"), exact);
  EXPECT_EQ(OfType("OpenStage 40 G"), family);
  EXPECT_EQ(OfType("openstage 40"), 1);
  EXPECT_EQ(OfType(""), 1);
}

TEST_F(LocationResolverTest, ANamedDeviceGoesWhereItsNameStands) {
  Add("cidr", "10.0.0.1/32");
  Add("e164_prefix", "498912345678901");
  const std::int64_t named = Add("device", "001ae8-000001");
  const db::PlacementRecord device{0, kMac, "498912345678901", "10.0.0.1", "CP400", 0};
  EXPECT_EQ(Resolve(device), named);
  const std::int64_t urgent = Add("cidr", "10.0.0.0/8", 101);
  EXPECT_EQ(Resolve(device), urgent) << "but a priority is a priority";
}

TEST_F(LocationResolverTest, OfEqualRulesTheOlderLocationWinsWhateverTheirOrder) {
  const std::int64_t older = Add("device_type", "CP400");
  Add("device_type", "CP400");
  EXPECT_EQ(OfType("CP400"), older);
  std::swap(locations_[1], locations_[2]);
  EXPECT_EQ(OfType("CP400"), older);
  const std::int64_t named = Add("device", kMac);
  Add("device", kMac);
  std::swap(locations_[3], locations_[4]);
  EXPECT_EQ(Resolve({0, kMac, "", "", "", 0}), named);
}

// Rules

absl::Status Check(const std::string& kind, const std::string& value) {
  db::LocationRuleRecord rule{kind, value};
  return CheckLocationRule(rule, "rules[3].value");
}

std::string Canonical(const std::string& kind, const std::string& value) {
  db::LocationRuleRecord rule{kind, value};
  EXPECT_OK(CheckLocationRule(rule, "f"));
  return rule.value;
}

TEST(LocationRuleTest, ValuesBecomeCanonical) {
  EXPECT_EQ(Canonical("cidr", "10.1.2.3/8"), "10.0.0.0/8");
  EXPECT_EQ(Canonical("cidr", "10.1.2.3"), "10.1.2.3/32");
  EXPECT_EQ(Canonical("cidr", "2001:0DB8::FFFF/33"), "2001:db8::/33");
  EXPECT_EQ(Canonical("cidr", "0.0.0.0/0"), "0.0.0.0/0");
  EXPECT_EQ(Canonical("device", "001ae8.000001"), kMac);
  EXPECT_EQ(Canonical("device_type", "OpenStage*"), "OpenStage*");
}

TEST(LocationRuleTest, RefusalsNameReasonAndField) {
  for (const char* value :
       {"", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "10.0.0.0/8/8", "::/129", "x/8"}) {
    EXPECT_REFUSED(Check("cidr", value), "RULE_CIDR", "rules[3].value") << value;
  }
  for (const char* value : {"", "+49", "49 89", "49*", "1234567890123456"}) {
    EXPECT_REFUSED(Check("e164_prefix", value), "RULE_E164", "rules[3].value") << value;
  }
  for (const char* value : {"", "*", "Open*Stage", "**"}) {
    EXPECT_REFUSED(Check("device_type", value), "RULE_DEVICE_TYPE", "rules[3].value") << value;
  }
  for (const char* value : {"", "00:1A:E8:00:00", "01:00:5E:00:00:01"}) {
    EXPECT_REFUSED(Check("device", value), "RULE_DEVICE", "rules[3].value") << value;
  }
  EXPECT_REFUSED(Check("colour", "red"), "RULE_KIND", "rules[3].value");
}

}  // namespace
}  // namespace phonepki::provisioning
