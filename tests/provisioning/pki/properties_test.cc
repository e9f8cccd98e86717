#include "provisioning/pki/properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/status.h"

namespace phonepki::provisioning {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr char kGoodTemplate[] = "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=?";

db::Properties With(const std::string& name, const std::string& value) {
  return {{"internal.x509name.template", kGoodTemplate}, {name, value}};
}

// Names

TEST(PropertiesTest, B021TheTwoNamedPropertiesHaveTheirLiteralNames) {
  EXPECT_STREQ(property::kValidityDays, "internal.default.validity.days");
  EXPECT_STREQ(property::kTemplate, "internal.x509name.template");
  EXPECT_TRUE(IsKnownProperty("internal.default.validity.days"));
  EXPECT_TRUE(IsKnownProperty("internal.x509name.template"));
}

TEST(PropertiesTest, UnknownNamesAreKeptAndFlagged) {
  for (const char* name :
       {"", "Internal.Default.Validity.Days", "internal.default.validity.days ", "vendor.x"}) {
    EXPECT_FALSE(IsKnownProperty(name)) << name;
  }
  EXPECT_OK(CheckProperties({{"vendor.x", "anything"}}));
  EXPECT_THAT(MergeProperties({{"vendor.x", "1"}}, {}), ElementsAre(Pair("vendor.x", "1")));
}

// Values

TEST(PropertiesTest, B021ValidityIsAWholeNumberOfDays) {
  for (const char* value : {"1", "1095", "36500"}) {
    EXPECT_OK(CheckProperties({{"internal.default.validity.days", value}})) << value;
  }
  for (const char* value : {"", "0", "-1", "36501", "1.5", "365d", "ten", "99999999999999999999", "0x10"}) {
    EXPECT_REFUSED(CheckProperties({{"internal.default.validity.days", value}}), "VALIDITY_DAYS",
                   "internal.default.validity.days")
        << value;
  }
}

TEST(PropertiesTest, B022TheTemplateIsCheckedWhenItIsSaved) {
  const auto check = [](const char* text) { return CheckProperties({{"internal.x509name.template", text}}); };
  for (const char* text :
       {kGoodTemplate, "CN=?", "O=Unify, CN=phone-?.site", "CN={mac}", "OU={location}, CN=?"}) {
    EXPECT_OK(check(text)) << text;
  }
  constexpr char kField[] = "internal.x509name.template";
  EXPECT_REFUSED(check("C=US, CN=phone"), "TEMPLATE_WITHOUT_PLACEHOLDER", kField);
  EXPECT_REFUSED(check("CN=?-?"), "TEMPLATE_SEVERAL_PLACEHOLDERS", kField);
  EXPECT_REFUSED(check("O=?, CN=?"), "TEMPLATE_PLACEHOLDER_OUTSIDE_CN", kField);
  EXPECT_REFUSED(check("C=US, O=Unify"), "TEMPLATE_WITHOUT_CN", kField);
  EXPECT_REFUSED(check("CN=?, CN=?"), "TEMPLATE_SEVERAL_CNS", kField);
  EXPECT_REFUSED(check("CN={serial}"), "TEMPLATE_UNKNOWN_PLACEHOLDER", kField);
  EXPECT_REFUSED(check("C=USA, CN=?"), "DN_COUNTRY", kField);
  EXPECT_REFUSED(check("XX=1, CN=?"), "DN_UNKNOWN_ATTRIBUTE", kField);
  EXPECT_REFUSED(check(""), "DN_EMPTY", kField);
  EXPECT_REFUSED(check(("CN=?" + std::string(65, 'x')).c_str()), "TEMPLATE_TOO_LONG", kField);
}

TEST(PropertiesTest, B023WhichNameWinsIsAnExplicitProperty) {
  for (const char* value : {"ip", "fqdn", "fqdn-then-ip", "ip-then-fqdn"}) {
    EXPECT_OK(CheckProperties({{"internal.x509name.source", value}})) << value;
  }
  for (const char* value : {"", "IP address", "dns"}) {
    EXPECT_REFUSED(CheckProperties({{"internal.x509name.source", value}}), "NAME_SOURCE_UNKNOWN",
                   "internal.x509name.source")
        << value;
  }
}

TEST(PropertiesTest, KeyAlgorithmsAreTheSupportedOnes) {
  for (const char* value : {"rsa2048", "rsa3072", "rsa4096", "ecdsa-p256", "ecdsa-p384"}) {
    EXPECT_OK(CheckProperties({{"internal.key.algorithm", value}})) << value;
  }
  for (const char* value : {"", "rsa", "rsa512", "RSA-2048", "ed25519"}) {
    EXPECT_REFUSED(CheckProperties({{"internal.key.algorithm", value}}), "KEY_ALGORITHM_UNKNOWN",
                   "internal.key.algorithm")
        << value;
  }
}

TEST(PropertiesTest, Rsa1024NeedsTheLegacySwitch) {
  EXPECT_REFUSED(CheckProperties({{"internal.key.algorithm", "rsa1024"}}), "KEY_TOO_WEAK",
                 "internal.key.algorithm");
  EXPECT_REFUSED(
      CheckProperties({{"internal.key.algorithm", "rsa1024"}, {"internal.key.allow-legacy", "false"}}),
      "KEY_TOO_WEAK", "internal.key.algorithm");
  EXPECT_OK(CheckProperties({{"internal.key.algorithm", "rsa1024"}, {"internal.key.allow-legacy", "true"}}));
}

TEST(PropertiesTest, SwitchesAreTrueOrFalseAndNothingElse) {
  for (const char* name : {"internal.key.allow-legacy", "internal.validity.allow-past-2038"}) {
    EXPECT_OK(CheckProperties({{name, "true"}}));
    EXPECT_OK(CheckProperties({{name, "false"}}));
    for (const char* value : {"", "True", "1", "yes"}) {
      EXPECT_REFUSED(CheckProperties({{name, value}}), "PROPERTY_VALUE", name) << value;
    }
  }
}

TEST(PropertiesTest, NamesAndValuesHaveALimit) {
  EXPECT_OK(CheckProperties({{std::string(200, 'n'), std::string(4000, 'v')}}));
  EXPECT_REFUSED(CheckProperties({{"", "v"}}), "PROPERTY_VALUE", "properties");
  EXPECT_REFUSED(CheckProperties({{std::string(201, 'n'), "v"}}), "PROPERTY_VALUE", "properties");
  EXPECT_REFUSED(CheckProperties({{"n", std::string(4001, 'v')}}), "PROPERTY_VALUE", "properties");
}

// Merging

TEST(PropertiesTest, B034TheConnectorsParametersWinOverThePlugIns) {
  const db::Properties plugin{{"internal.default.validity.days", "365"},
                              {"internal.x509name.template", "CN=?"}};
  const db::Properties connector{{"internal.default.validity.days", "30"},
                                 {"internal.key.algorithm", "ecdsa-p256"}};
  EXPECT_THAT(MergeProperties(plugin, connector), ElementsAre(Pair("internal.default.validity.days", "30"),
                                                              Pair("internal.key.algorithm", "ecdsa-p256"),
                                                              Pair("internal.x509name.template", "CN=?")));
}

TEST(PropertiesTest, RemovingComesAfterSettingAndForgivesTheUnknown) {
  EXPECT_THAT(MergeProperties({{"a", "1"}, {"b", "2"}}, {{"c", "3"}, {"a", "4"}}, {"b", "c", "never"}),
              ElementsAre(Pair("a", "4")));
}

TEST(PropertiesTest, MergedPropertiesAreSortedByName) {
  EXPECT_THAT(MergeProperties({{"z", "1"}}, {{"a", "2"}, {"m", "3"}}),
              ElementsAre(Pair("a", "2"), Pair("m", "3"), Pair("z", "1")));
}

// Policy

TEST(PropertiesTest, WithoutATemplateNothingIsIssued) {
  for (const db::Properties& properties :
       {db::Properties{}, db::Properties{{"internal.x509name.template", ""}}}) {
    const auto policy = ReadPolicy(properties);
    EXPECT_CODE(policy, kFailedPrecondition);
    EXPECT_REFUSED(policy, "TEMPLATE_MISSING", "internal.x509name.template");
  }
}

TEST(PropertiesTest, B034TheDefaultsAreUsable) {
  const auto policy = ReadPolicy({{"internal.x509name.template", kGoodTemplate}});
  ASSERT_OK(policy);
  EXPECT_EQ(policy->subject_template.text(), kGoodTemplate);
  EXPECT_EQ(policy->validity_days, 1095);
  EXPECT_EQ(policy->name_source, ca::NameSource::kIp);
  EXPECT_EQ(policy->key_algorithm, ca::KeyAlgorithm::kRsa2048);
  EXPECT_FALSE(policy->allow_legacy);
  EXPECT_FALSE(policy->allow_past_2038);
}

TEST(PropertiesTest, EveryPropertyReachesThePolicy) {
  EXPECT_EQ(ReadPolicy(With("internal.default.validity.days", "7"))->validity_days, 7);
  EXPECT_EQ(ReadPolicy(With("internal.x509name.source", "fqdn-then-ip"))->name_source,
            ca::NameSource::kFqdnThenIp);
  EXPECT_EQ(ReadPolicy(With("internal.key.algorithm", "ecdsa-p384"))->key_algorithm,
            ca::KeyAlgorithm::kEcdsaP384);
  EXPECT_TRUE(ReadPolicy(With("internal.key.allow-legacy", "true"))->allow_legacy);
  EXPECT_TRUE(ReadPolicy(With("internal.validity.allow-past-2038", "true"))->allow_past_2038);
}

TEST(PropertiesTest, C05Passing2038IsNeverTheDefault) {
  EXPECT_FALSE(ReadPolicy(With("internal.default.validity.days", "36500"))->allow_past_2038);
}

TEST(PropertiesTest, AConnectorCannotSmuggleInABadValue) {
  EXPECT_REFUSED(ReadPolicy(With("internal.default.validity.days", "0")), "VALIDITY_DAYS",
                 "internal.default.validity.days");
  EXPECT_REFUSED(ReadPolicy(With("internal.key.algorithm", "rsa1024")), "KEY_TOO_WEAK",
                 "internal.key.algorithm");
}

}  // namespace
}  // namespace phonepki::provisioning
