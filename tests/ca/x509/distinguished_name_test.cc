#include "ca/x509/distinguished_name.h"

#include <random>

#include "ca/x509/openssl_ptr.h"
#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::Name;

TEST(DistinguishedNameTest, ParsesEveryCaseOfTheTable) {
  const auto cases = testing::TestData("distinguished_names.json");
  ASSERT_GE(cases.size(), 60u);
  for (const auto& item : cases) {
    SCOPED_TRACE(item["name"].get<std::string>());
    const auto name = DistinguishedName::Parse(item["text"].get<std::string>(), "subject_dn");
    if (item.contains("reason")) {
      EXPECT_REASON(name, item["reason"].get<std::string>());
      EXPECT_EQ(name.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(base::FieldOf(name.status()), "subject_dn");
      continue;
    }
    ASSERT_OK(name);
    EXPECT_EQ(name->Print(), item["print"].get<std::string>());
    if (item.contains("cn")) {
      EXPECT_EQ(name->CommonName(), item["cn"].get<std::string>());
    }

    const auto again = DistinguishedName::Parse(name->Print(), "subject_dn");
    ASSERT_OK(again);
    EXPECT_EQ(*again, *name);
    const auto from_der = DistinguishedName::FromDer(name->ToDer());
    ASSERT_OK(from_der);
    EXPECT_EQ(*from_der, *name);
    EXPECT_EQ(from_der->Print(), name->Print());
    EXPECT_EQ(from_der->Canonical(), name->Canonical());

    const base::Bytes der = name->ToDer();
    const unsigned char* next = der.data();
    const X509NamePtr openssl(d2i_X509_NAME(nullptr, &next, static_cast<long>(der.size())));
    ASSERT_NE(openssl, nullptr);
    EXPECT_EQ(next, der.data() + der.size());
  }
}

TEST(DistinguishedNameTest, AnyValueSurvivesPrintAndParse) {
  std::mt19937 random(7);
  const std::string alphabet = ",+\"\\<>;= #ab\xc3\xbc";
  for (int round = 0; round < 2000; ++round) {
    std::string value;
    for (unsigned i = 0, n = 1 + random() % 12; i < n; ++i) {
      const unsigned pick = random() % 13;
      if (pick == 12) {
        value += "\xc3\xbc";
      } else {
        value += alphabet[pick];
      }
    }
    const auto name = Name("C=US, CN=x").WithCommonName(value, "cn");
    ASSERT_OK(name);
    const auto again = DistinguishedName::Parse(name->Print(), "cn");
    ASSERT_TRUE(again.ok()) << name->Print() << again.status();
    EXPECT_EQ(*again, *name) << name->Print();
    EXPECT_EQ(again->CommonName(), value);
  }
}

TEST(DistinguishedNameTest, RandomTextNeverCrashesTheParser) {
  std::mt19937 random(11);
  const std::string alphabet = "CN=OU,+\"\\#; 0aF.12\xc3\xff";
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (unsigned i = 0, n = random() % 24; i < n; ++i) text += alphabet[random() % alphabet.size()];
    const auto name = DistinguishedName::Parse(text, "f");
    if (name.ok()) {
      EXPECT_TRUE(DistinguishedName::Parse(name->Print(), "f").ok()) << text;
    }
  }
}

TEST(DistinguishedNameTest, RandomDerNeverCrashesTheReader) {
  std::mt19937 random(13);
  const base::Bytes good = Name("C=US, O=Example, CN=x+UID=1, 1.3.6.1.4.1.99999.1=v").ToDer();
  for (int round = 0; round < 20000; ++round) {
    base::Bytes der = good;
    for (unsigned i = 0, n = 1 + random() % 3; i < n; ++i)
      der[random() % der.size()] = static_cast<std::uint8_t>(random());
    der.resize(random() % (der.size() + 1));
    const auto name = DistinguishedName::FromDer(der);
    if (name.ok()) (void)name->Print();
  }
}

TEST(DistinguishedNameTest, RejectsOverlongText) {
  EXPECT_REASON(DistinguishedName::Parse("CN=" + std::string(5000, 'a'), "f"), "DN_VALUE_TOO_LONG");
  std::string many = "CN=x";
  for (int i = 0; i < 64; ++i) many += ", OU=a";
  EXPECT_REASON(DistinguishedName::Parse(many, "f"), "DN_MALFORMED");
}

TEST(DistinguishedNameTest, CanonicalIgnoresCaseSpacesAndStringType) {
  EXPECT_EQ(Name("C=US, O=Two  Words, CN=Straße Ä").Canonical(),
            Name("c=us, o=TWO words, cn=straße ä").Canonical());
  EXPECT_NE(Name("O=a, CN=x").Canonical(), Name("CN=x, O=a").Canonical());
  EXPECT_NE(Name("CN=a\\,o=b").Canonical(), Name("CN=a, O=b").Canonical());
  EXPECT_EQ(Name("CN=x+UID=1").Canonical(), Name("UID=1+CN=X").Canonical());
  // 30 0c 31 0a 30 08 06 03 55 04 03 13 01 78: CN=x as PrintableString.
  const auto printable = DistinguishedName::FromDer(
      {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x13, 0x01, 0x78});
  ASSERT_OK(printable);
  EXPECT_FALSE(*printable == Name("CN=x"));
  EXPECT_EQ(printable->Canonical(), Name("CN=x").Canonical());
  EXPECT_EQ(printable->Print(), "CN=x");
}

TEST(DistinguishedNameTest, UsesTheStringTypesOfRfc5280) {
  const auto tag_of = [](const std::string& text) { return Name(text).rdns()[0][0].tag; };
  EXPECT_EQ(tag_of("C=US"), V_ASN1_PRINTABLESTRING);
  EXPECT_EQ(tag_of("serialNumber=1"), V_ASN1_PRINTABLESTRING);
  EXPECT_EQ(tag_of("DC=com"), V_ASN1_IA5STRING);
  EXPECT_EQ(tag_of("E=a@b"), V_ASN1_IA5STRING);
  EXPECT_EQ(tag_of("CN=x"), V_ASN1_UTF8STRING);
}

TEST(DistinguishedNameTest, ReplacesTheCommonNameOnly) {
  const auto name = Name("C=US, O=Example, CN=old").WithCommonName("new, name", "cn");
  ASSERT_OK(name);
  EXPECT_EQ(name->Print(), "C=US, O=Example, CN=new\\, name");
  EXPECT_REASON(Name("C=US").WithCommonName("x", "cn"), "DN_WITHOUT_CN");
  EXPECT_REASON(Name("CN=a, CN=b").WithCommonName("x", "cn"), "DN_SEVERAL_CNS");
  EXPECT_REASON(Name("CN=a").WithCommonName("", "cn"), "DN_VALUE_EMPTY");
  EXPECT_REASON(Name("CN=a").WithCommonName(std::string(65, 'a'), "cn"), "COMMON_NAME_TOO_LONG");
}

TEST(DistinguishedNameTest, RefusesDerThatIsNotAName) {
  EXPECT_REASON(DistinguishedName::FromDer({}), "DN_MALFORMED");
  EXPECT_REASON(DistinguishedName::FromDer({0x30, 0x01}), "DN_MALFORMED");
  EXPECT_REASON(DistinguishedName::FromDer({0x30, 0x80, 0x00, 0x00}), "DN_MALFORMED");
  base::Bytes longer = Name("CN=x").ToDer();
  longer.push_back(0);
  EXPECT_REASON(DistinguishedName::FromDer(longer), "DN_MALFORMED");
}

}  // namespace
}  // namespace phonepki::ca
