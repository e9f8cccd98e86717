// Files that were made to crash or to busy a server.
#include <ctime>
#include <fstream>
#include <sstream>

#include <absl/strings/str_cat.h>

#include "ca/x509/certificate_file.h"
#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::RunCommand;
using testing::TempDir;

// Of this process: other work on the machine does not count.
double ProcessorSeconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class HostileCertificateFileTest : public ::testing::Test {
 protected:
  HostileCertificateFileTest() {
    Made(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out leaf.pem -subj /CN=p1 && openssl req "
        "-x509 "
        "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout eckey.pem -out ecleaf.pem -subj "
        "/CN=p2");
  }

  // Runs a shell command in the directory; what it wrote to the file `in`.
  std::string Made(const std::string& command) {
    const auto made = RunCommand(absl::StrCat("cd ", directory_.path(), " && rm -f in && ", command));
    EXPECT_EQ(made.status, 0) << command << "\n" << made.output;
    std::ifstream file(directory_.path() + "/in", std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
  }

  std::string Contents(const std::string& file) { return Made(absl::StrCat("cp ", file, " in")); }

  static absl::StatusOr<CertificateFile> Read(std::string_view content, const std::string& passphrase) {
    return ReadCertificateFile(content, base::Secret(passphrase));
  }

  // What the file asks for must not decide how long it takes.
  static void ExpectQuickRefusal(const std::string& content, const std::string& reason) {
    const double start = ProcessorSeconds();
    EXPECT_REASON(Read(content, "pw"), reason);
    EXPECT_LT(ProcessorSeconds() - start, 20);
  }

  TempDir directory_;
};

// The number of rounds that the tool was made to write, 66051, becomes one of the same length.
TEST_F(HostileCertificateFileTest, RefusesEndlessKeyDerivation) {
  for (const char* const rounds : {"\\x7f\\xff\\xff", "\\xff\\xff\\xff"}) {  // 8 million thrice; -1
    SCOPED_TRACE(rounds);
    ExpectQuickRefusal(
        Made(absl::StrCat("openssl pkcs12 -export -inkey key.pem -in leaf.pem -maciter -iter 66051 -passout "
                          "pass:pw -out pre && perl -0pe 's/\\x02\\x03\\x01\\x02\\x03/\\x02\\x03",
                          rounds, "/g' pre >in")),
        "NOT_A_CERTIFICATE_FILE");
  }
  ExpectQuickRefusal(
      Made("openssl pkcs8 -topk8 -in key.pem -iter 16909060 -passout pass:pw -out in; cat leaf.pem >>in"),
      "KEY_MALFORMED");
}

// Each of many parts may ask for what is allowed to one.
TEST_F(HostileCertificateFileTest, ManyPartsShareOneBudgetOfKeyDerivation) {
  const std::string part = Made(
      "openssl pkcs12 -export -nokeys -in leaf.pem -maciter -iter 1500000 -passout pass:pw -out pre && { "
      "echo "
      "-----BEGIN PKCS12-----; base64 pre; echo -----END PKCS12-----; } >in");
  EXPECT_OK(Read(part, "pw"));
  std::string many;
  for (int i = 0; i < 100; ++i) many += part;
  ExpectQuickRefusal(many, "NOT_A_CERTIFICATE_FILE");
}

TEST_F(HostileCertificateFileTest, SurvivesTruncationAtEveryOctet) {
  for (const char* const command :
       {"openssl pkcs12 -export -inkey eckey.pem -in ecleaf.pem -certfile leaf.pem -iter 1 -passout pass:pw "
        "-out in",
        "openssl pkcs12 -export -legacy -inkey eckey.pem -in ecleaf.pem -iter 1 -passout pass:pw -out in",
        "openssl crl2pkcs7 -nocrl -certfile ecleaf.pem -outform DER -out in",
        "openssl x509 -in ecleaf.pem -outform DER -out in"}) {
    SCOPED_TRACE(command);
    const std::string file = Made(command);
    ASSERT_OK(Read(file, "pw"));
    for (std::size_t size = 0; size < file.size(); ++size) {
      ASSERT_FALSE(Read(std::string_view(file).substr(0, size), "pw").ok()) << size;
    }
  }
  // Text that ends behind a block is whole.
  const std::string pem =
      Made("openssl ec -in eckey.pem -aes128 -passout pass:pw >in && cat ecleaf.pem >>in");
  const std::size_t key_end = pem.find("-----BEGIN CERTIFICATE");
  for (std::size_t size = 0; size + 1 < pem.size(); ++size) {
    const auto file = Read(std::string_view(pem).substr(0, size), "pw");
    ASSERT_FALSE(file.ok()) << size << " of " << key_end;
  }
}

TEST_F(HostileCertificateFileTest, SurvivesEveryFlippedOctet) {
  for (const char* const command :
       {"openssl pkcs12 -export -inkey eckey.pem -in ecleaf.pem -iter 1 -nomac -passout pass:pw -out in",
        "openssl pkcs12 -export -keypbe NONE -certpbe NONE -nomac -inkey eckey.pem -in ecleaf.pem -passout "
        "pass:pw "
        "-out in",
        "openssl crl2pkcs7 -nocrl -certfile ecleaf.pem -outform DER -out in",
        "openssl x509 -in ecleaf.pem -outform DER -out in"}) {
    SCOPED_TRACE(command);
    const std::string file = Made(command);
    for (std::size_t i = 0; i < file.size(); ++i) {
      for (const int mask : {0x01, 0x80}) {
        std::string bad = file;
        bad[i] = static_cast<char>(bad[i] ^ mask);
        const auto read = Read(bad, "pw");
        // Either an error that names a field, or something that holds together.
        if (!read.ok()) {
          ASSERT_FALSE(base::FieldOf(read.status()).empty()) << i << " " << read.status();
        } else if (read->key) {
          ASSERT_TRUE(read->leaf.has_value()) << i;
        }
      }
    }
  }
}

TEST_F(HostileCertificateFileTest, SurvivesGarbage) {
  std::uint32_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string garbage = round % 2 == 0 ? "\x30\x82" : "";
    for (int i = round % 300; i > 0; --i) {
      state = state * 1664525 + 1013904223;
      garbage += static_cast<char>(state >> 24);
    }
    ASSERT_FALSE(Read(garbage, "pw").ok());
  }
  ExpectQuickRefusal(std::string(kMaxCertificateFileSize, '\x30'), "NOT_A_CERTIFICATE_FILE");
  ExpectQuickRefusal(std::string(kMaxCertificateFileSize, '-'), "NOT_A_CERTIFICATE_FILE");
  ExpectQuickRefusal(absl::StrCat("\x30", std::string(kMaxCertificateFileSize - 1, '\x80')),
                     "NOT_A_CERTIFICATE_FILE");
  std::string nested;  // every level of indefinite length
  while (nested.size() + 2 < kMaxCertificateFileSize) nested += "\x30\x80";
  EXPECT_FALSE(Read(nested, "pw").ok());
}

// Private keys whose public half is computed from numbers of the file's choice.
TEST_F(HostileCertificateFileTest, RefusesHugeNumbersWithoutComputing) {
  const std::string huge(400'000, 'A');
  ExpectQuickRefusal(absl::StrCat("-----BEGIN PRIVATE KEY-----\n", huge, "\n-----END PRIVATE KEY-----\n",
                                  Contents("leaf.pem")),
                     "KEY_MALFORMED");
  ExpectQuickRefusal(
      Made("openssl dsaparam -genkey 1024 2>/dev/null | openssl pkcs8 -topk8 -nocrypt >in && cat "
           "leaf.pem >>in"),
      "KEY_UNSUPPORTED");
}

// Two hundred certificates of one name and no way through them.
TEST_F(HostileCertificateFileTest, AHeapOfLikeCertificatesIsSoonGivenUp) {
  std::string pem = Made(
      "openssl req -new -key eckey.pem -subj /CN=phone | openssl x509 -req -CA ecleaf.pem -CAkey eckey.pem "
      "-CAcreateserial -out in && cat eckey.pem >>in");
  const absl::Time now = base::SystemClock().Now();
  for (std::size_t i = 0; i + 1 < kMaxFileCertificates; ++i) {
    const auto key = KeyGenerator().Generate(KeyAlgorithm::kEcdsaP384);
    pem += ToPem(*SelfSignCa(*key, testing::Name("CN=p2"), now, now + absl::Hours(48), CaProfile()));
  }
  const double start = ProcessorSeconds();
  const auto file = Read(pem, "");
  EXPECT_LT(ProcessorSeconds() - start, 20);
  ASSERT_OK(file);
  EXPECT_TRUE(file->leaf.has_value());
  EXPECT_TRUE(file->chain.empty());
}

}  // namespace
}  // namespace phonepki::ca
