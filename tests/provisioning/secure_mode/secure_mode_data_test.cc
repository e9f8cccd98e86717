// secure-mode-data is opened here by the openssl program, which shares no code with the codec.
#include "provisioning/secure_mode/secure_mode_data.h"

#include <set>

#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "provisioning/secure_mode/cms_codec.h"
#include "provisioning/secure_mode/pin.h"
#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::provisioning {
namespace {

using ca::testing::CommandResult;
using ca::testing::RunCommand;
using ca::testing::TempDir;

std::vector<SecureModeItem> Items() {
  std::vector<SecureModeItem> items;
  items.push_back({"dls-client-certificate", std::nullopt, base::Secret("TUlJSiBub3QgcmVhbGx5")});
  items.push_back(
      {"dls-server-ca", 0, base::Secret("-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n")});
  items.push_back({"dls-server-ca", 1, base::Secret("")});
  items.push_back({"dls-secure-port", std::nullopt, base::Secret("18444")});
  return items;
}

constexpr char kPrinted[] =
    "<ItemList><Item name=\"dls-client-certificate\">TUlJSiBub3QgcmVhbGx5</Item>"
    "<Item name=\"dls-server-ca\" index=\"0\">-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n"
    "</Item><Item name=\"dls-server-ca\" index=\"1\"></Item>"
    "<Item name=\"dls-secure-port\">18444</Item></ItemList>";

class SecureModeDataTest : public ::testing::Test {
 protected:
  // The command of docs/secure-mode-data.md.
  CommandResult Open(const std::string& sealed, const std::string& password) {
    directory_.Write("sealed", sealed);
    return RunCommand(absl::StrCat("cd ", directory_.path(),
                                   " && base64 -d sealed | openssl cms -decrypt -inform DER -pwri_password '",
                                   password, "'"));
  }
  CommandResult Structure(const std::string& sealed) {
    directory_.Write("sealed", sealed);
    return RunCommand(absl::StrCat("cd ", directory_.path(),
                                   " && base64 -d sealed | openssl cms -cmsout -print -inform DER"));
  }

  const CmsCodec codec_{1000};
  TempDir directory_;
};

TEST_F(SecureModeDataTest, B066OpensslOpensItWithThePinWithoutItsTan) {
  const base::Secret pin("48151623");
  const auto sealed = codec_.Seal(Items(), PasswordOfPin(pin));
  ASSERT_OK(sealed);
  const CommandResult opened = Open(*sealed, "48151");
  EXPECT_EQ(opened.status, 0) << opened.output;
  EXPECT_EQ(opened.output, kPrinted);
}

TEST_F(SecureModeDataTest, B066AnotherPinDoesNotOpenIt) {
  const auto sealed = codec_.Seal(Items(), base::Secret("48151"));
  ASSERT_OK(sealed);
  for (const char* const wrong : {"48152", "48151623", "4815", "481510", "x"}) {
    const CommandResult opened = Open(*sealed, wrong);
    EXPECT_NE(opened.status, 0) << wrong;
    EXPECT_FALSE(absl::StrContains(opened.output, "ItemList"));
  }
}

TEST_F(SecureModeDataTest, TheStructureIsTheDocumentedOne) {
  const auto codec = MakeSecureModeDataCodec("cms", "secure.codec");
  ASSERT_OK(codec);
  EXPECT_EQ((*codec)->name(), "cms");
  const auto sealed = (*codec)->Seal(Items(), base::Secret("48151"));
  ASSERT_OK(sealed);
  const CommandResult printed = Structure(*sealed);
  ASSERT_EQ(printed.status, 0) << printed.output;
  for (const char* const part : {"pkcs7-envelopedData", "version: 3", "d.pwri", "PBKDF2", "INTEGER",
                                 "hmacWithSHA256", "id-alg-PWRI-KEK", "aes-256-cbc", "unprotectedAttrs:"}) {
    EXPECT_TRUE(absl::StrContains(printed.output, part)) << part << "\n" << printed.output;
  }
  EXPECT_TRUE(absl::StrContains(printed.output, "186A0") || absl::StrContains(printed.output, "100000"))
      << printed.output;
}

TEST_F(SecureModeDataTest, TheNumberOfRoundsIsWrittenAsItIs) {
  for (const int iterations : {1, 127, 128, 255, 256, 32768, 65536, 100'000}) {
    const auto sealed = CmsCodec(iterations).Seal(Items(), base::Secret("48151"));
    ASSERT_OK(sealed);
    EXPECT_EQ(Open(*sealed, "48151").output, kPrinted) << iterations;
  }
}

// Every length of the last block of the cipher.
TEST_F(SecureModeDataTest, ContentOfAnyLengthComesBack) {
  for (int length = 0; length < 17; ++length) {
    std::vector<SecureModeItem> items;
    items.push_back({"a", std::nullopt, base::Secret(std::string(static_cast<std::size_t>(length), 'x'))});
    const auto sealed = codec_.Seal(items, base::Secret("Rudi4"));
    ASSERT_OK(sealed);
    EXPECT_EQ(Open(*sealed, "Rudi4").output,
              absl::StrCat("<ItemList><Item name=\"a\">", std::string(static_cast<std::size_t>(length), 'x'),
                           "</Item></ItemList>"));
  }
}

TEST_F(SecureModeDataTest, IsOneLineOfBase64AndNeverTheSameTwice) {
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    const auto sealed = codec_.Seal(Items(), base::Secret("48151"));
    ASSERT_OK(sealed);
    EXPECT_EQ(sealed->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="),
              std::string::npos);
    std::string decoded;
    EXPECT_TRUE(absl::Base64Unescape(*sealed, &decoded));
    EXPECT_FALSE(absl::StrContains(decoded, "ItemList"));
    EXPECT_TRUE(seen.insert(*sealed).second);
  }
}

TEST_F(SecureModeDataTest, RefusesItemsThatCannotBeWritten) {
  for (const char* const value : {"a<b", "a>b", "a&b", "a\rb", "a\tb", "Größe", "\x7f"}) {
    std::vector<SecureModeItem> items;
    items.push_back({"dls-secure-port", std::nullopt, base::Secret(value)});
    const auto refused = codec_.Seal(items, base::Secret("48151"));
    EXPECT_REFUSED(refused, "SECURE_MODE_ITEM", "items");
    EXPECT_TRUE(absl::StrContains(refused.status().message(), "dls-secure-port"));
    EXPECT_FALSE(absl::StrContains(refused.status().message(), value));
  }
  for (const std::string& name :
       {std::string(), std::string("a\"b"), std::string("a b"), std::string(65, 'a')}) {
    std::vector<SecureModeItem> items;
    items.push_back({name, std::nullopt, base::Secret("1")});
    EXPECT_REFUSED(codec_.Seal(items, base::Secret("48151")), "SECURE_MODE_ITEM", "items");
  }
  EXPECT_REFUSED(codec_.Seal(Items(), base::Secret("")), "PASSWORD_EMPTY", "password");
}

TEST_F(SecureModeDataTest, FitsIntoOneMessageOrIsRefused) {
  const auto seal = [&](std::size_t size) {
    std::vector<SecureModeItem> items;
    items.push_back({"dls-client-certificate", std::nullopt, base::Secret(std::string(size, 'x'))});
    return codec_.Seal(items, base::Secret("48151"));
  };
  const auto largest = seal(36'000);
  ASSERT_OK(largest);
  EXPECT_LE(largest->size(), kMaxSecureModeData);
  EXPECT_REFUSED(seal(37'000), "SECURE_MODE_DATA_TOO_LARGE", "items");
  EXPECT_REFUSED(seal(50'000), "SECURE_MODE_DATA_TOO_LARGE", "items");
}

TEST_F(SecureModeDataTest, UnknownCodecsAreNamedWithTheKnown) {
  const auto refused = MakeSecureModeDataCodec("vendor", "secure.codec");
  EXPECT_REFUSED(refused, "SECURE_MODE_CODEC_UNKNOWN", "secure.codec");
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "cms"));
}

}  // namespace
}  // namespace phonepki::provisioning
