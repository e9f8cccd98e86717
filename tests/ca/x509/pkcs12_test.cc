// PKCS#12 written here is read by GnuTLS, NSS, Java and OpenSSL, and the other way round.
#include "ca/x509/pkcs12.h"

#include <fstream>
#include <sstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::Name;
using testing::RunCommand;
using testing::TempDir;
using testing::TestKey;

constexpr Pkcs12Encryption kEncryptions[] = {Pkcs12Encryption::kLegacy3DesSha1,
                                             Pkcs12Encryption::kAes256Sha256};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

class Pkcs12Test : public ::testing::Test {
 protected:
  Pkcs12Test() : now_(base::SystemClock().Now()), clock_(now_) {
    root_ = *SelfSignCa(TestKey(KeyAlgorithm::kRsa2048), Name("CN=Root"), now_, now_ + absl::Hours(48),
                        CaProfile());
    const auto root = Issuer::Create(root_, testing::CopyOf(TestKey(KeyAlgorithm::kRsa2048)), clock_);
    sub_ = Issue(**root, CaProfile(), "CN=Sub", TestKey(KeyAlgorithm::kEcdsaP256));
    const auto sub = Issuer::Create(sub_, testing::CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), clock_);
    leaf_ = Issue(**sub, LeafProfile(CertificateKind::kSpe), "CN=p1.example.com", Key());
    const auto key_pem = PrivateKeyToPem(Key());
    directory_.Write("key.pem", key_pem->view());
    directory_.Write("leaf.pem", ToPem(leaf_));
    directory_.Write("chain.pem", ToPem(sub_) + ToPem(root_));
    directory_.Write("all.pem", ToPem(leaf_) + ToPem(sub_) + ToPem(root_));
  }

  static const PrivateKey& Key() { return TestKey(KeyAlgorithm::kRsa2048, 1); }

  base::Bytes Issue(const Issuer& issuer, const Profile& profile, const std::string& subject,
                    const PrivateKey& key) {
    IssuanceRequest request;
    request.subject = Name(subject);
    request.spki_der = key.spki_der();
    request.not_before = now_;
    request.not_after = now_ + absl::Hours(24);
    auto permit = issuer.Prepare(profile, request);
    EXPECT_TRUE(permit.ok()) << permit.status();
    return *issuer.Sign(*std::move(permit));
  }

  std::string WriteFile(const std::string& name, Pkcs12Encryption encryption, const std::string& passphrase,
                        int iterations = 2048) {
    const auto file =
        WritePkcs12(leaf_, Key(), {sub_, root_}, base::Secret(passphrase), encryption, "phone", iterations);
    EXPECT_TRUE(file.ok()) << file.status();
    return directory_.Write(name, file->view());
  }

  testing::CommandResult InDirectory(const std::string& command) {
    return RunCommand(absl::StrCat("cd ", directory_.path(), " && ", command));
  }

  absl::StatusOr<Pkcs12Contents> Read(const std::string& file, const std::string& passphrase) {
    return ReadPkcs12(ReadFile(directory_.path() + "/" + file), base::Secret(passphrase));
  }

  TempDir directory_;
  const absl::Time now_;
  testing::FixedClock clock_;
  base::Bytes root_, sub_, leaf_;
};

TEST_F(Pkcs12Test, OtherToolsReadBothEncryptions) {
  for (const Pkcs12Encryption encryption : kEncryptions) {
    SCOPED_TRACE(PrintPkcs12Encryption(encryption));
    WriteFile("out.p12", encryption, "secret phrase");
    const auto gnutls =
        InDirectory("certtool --p12-info --inder --infile out.p12 --password 'secret phrase'");
    EXPECT_EQ(gnutls.status, 0) << gnutls.output;
    EXPECT_TRUE(absl::StrContains(gnutls.output, "BEGIN CERTIFICATE")) << gnutls.output;
    EXPECT_TRUE(absl::StrContains(gnutls.output, "PRIVATE KEY")) << gnutls.output;
    const auto nss = InDirectory("pk12util -l out.p12 -W 'secret phrase'");
    EXPECT_EQ(nss.status, 0) << nss.output;
    EXPECT_TRUE(absl::StrContains(nss.output, "CN=p1.example.com")) << nss.output;
    EXPECT_TRUE(absl::StrContains(nss.output, "Key(shrouded)")) << nss.output;
    const auto java =
        InDirectory("keytool -list -v -storetype PKCS12 -keystore out.p12 -storepass 'secret phrase'");
    EXPECT_EQ(java.status, 0) << java.output;
    EXPECT_TRUE(absl::StrContains(java.output, "Alias name: phone")) << java.output;
    EXPECT_TRUE(absl::StrContains(java.output, "PrivateKeyEntry")) << java.output;
    EXPECT_TRUE(absl::StrContains(java.output, "Certificate chain length: 3")) << java.output;
    const auto openssl = InDirectory("openssl pkcs12 -in out.p12 -passin 'pass:secret phrase' -info -noout");
    EXPECT_EQ(openssl.status, 0) << openssl.output;
    const bool legacy = encryption == Pkcs12Encryption::kLegacy3DesSha1;
    EXPECT_TRUE(absl::StrContains(openssl.output, legacy ? "MAC: sha1" : "MAC: sha256")) << openssl.output;
    EXPECT_TRUE(
        absl::StrContains(openssl.output, legacy ? "pbeWithSHA1And3-KeyTripleDES-CBC" : "AES-256-CBC"))
        << openssl.output;
  }
}

TEST_F(Pkcs12Test, OtherToolsReadAnEmptyPassphrase) {
  for (const auto& [encryption, iterations] :
       {std::pair(kEncryptions[0], 1), std::pair(kEncryptions[0], 2048), std::pair(kEncryptions[1], 1),
        std::pair(kEncryptions[1], 2048)}) {
    SCOPED_TRACE(PrintPkcs12Encryption(encryption) + " " + std::to_string(iterations));
    WriteFile("out.p12", encryption, "", iterations);
    const auto gnutls = InDirectory("certtool --p12-info --inder --infile out.p12 --password ''");
    EXPECT_EQ(gnutls.status, 0) << gnutls.output;
    const auto nss = InDirectory("pk12util -l out.p12 -W ''");
    EXPECT_EQ(nss.status, 0) << nss.output;
    const auto openssl = InDirectory("openssl pkcs12 -in out.p12 -passin pass: -noout");
    EXPECT_EQ(openssl.status, 0) << openssl.output;
    ASSERT_OK(Read("out.p12", ""));
  }
}

TEST_F(Pkcs12Test, ReadsBackWhatItWrites) {
  for (const Pkcs12Encryption encryption : kEncryptions) {
    for (const char* passphrase : {"", "x", "Größe 電話", "with 'quotes\" and spaces "}) {
      WriteFile("out.p12", encryption, passphrase);
      const auto contents = Read("out.p12", passphrase);
      ASSERT_OK(contents);
      EXPECT_EQ(contents->certificate, leaf_);
      EXPECT_EQ(contents->key.spki_der(), Key().spki_der());
      EXPECT_EQ(contents->chain, (std::vector<base::Bytes>{sub_, root_}));
      EXPECT_REASON(Read("out.p12", absl::StrCat(passphrase, "!")), "WRONG_PASSPHRASE");
    }
  }
}

TEST_F(Pkcs12Test, ReadsWhatOtherToolsWrite) {
  const char* const commands[] = {
      "openssl pkcs12 -export -legacy -inkey key.pem -in leaf.pem -certfile chain.pem -passout pass:pw -out "
      "in.p12",  // RC2-40
      "openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem -passout pass:pw -out in.p12",
      "openssl pkcs12 -export -nomac -inkey key.pem -in leaf.pem -certfile chain.pem -passout pass:pw -out "
      "in.p12",
      "openssl pkcs12 -export -keypbe NONE -certpbe NONE -inkey key.pem -in leaf.pem -certfile chain.pem "
      "-passout pass:pw -out in.p12",
      "certtool --to-p12 --p12-name phone --password pw --load-privkey key.pem --load-certificate all.pem "
      "--outder --outfile in.p12",
      "rm -f in.p12 && openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem -name phone "
      "-passout pass:password "
      "-out pre.p12 && keytool -importkeystore -noprompt -srckeystore pre.p12 -srcstorepass password "
      "-destkeystore in.p12 "
      "-deststoretype PKCS12 -deststorepass password",
  };
  for (const char* const text : commands) {
    const std::string command = text;
    SCOPED_TRACE(command);
    const auto made = InDirectory(command);
    ASSERT_EQ(made.status, 0) << made.output;
    const auto contents = Read("in.p12", absl::StrContains(command, "keytool") ? "password" : "pw");
    ASSERT_OK(contents);
    EXPECT_EQ(contents->certificate, leaf_);
    EXPECT_EQ(contents->key.spki_der(), Key().spki_der());
    EXPECT_EQ(contents->chain, (std::vector<base::Bytes>{sub_, root_}));
  }
}

TEST_F(Pkcs12Test, RefusesWhatCannotBeImported) {
  EXPECT_REASON(ReadPkcs12("", base::Secret("pw")), "NOT_PKCS12");
  EXPECT_REASON(ReadPkcs12("-----BEGIN CERTIFICATE-----\n", base::Secret("pw")), "NOT_PKCS12");
  EXPECT_REASON(ReadPkcs12(std::string(root_.begin(), root_.end()), base::Secret("pw")), "NOT_PKCS12");
  EXPECT_REASON(ReadPkcs12("x", base::Secret(std::string_view("a\0b", 3))), "PASSPHRASE_INVALID");
  EXPECT_REASON(ReadPkcs12("x", base::Secret("\xff")), "PASSPHRASE_INVALID");

  ASSERT_EQ(InDirectory("openssl pkcs12 -export -nokeys -in leaf.pem -passout pass:pw -out nokey.p12").status,
            0);
  EXPECT_REASON(Read("nokey.p12", "pw"), "NO_PRIVATE_KEY");
  EXPECT_REASON(Read("nokey.p12", "no"), "WRONG_PASSPHRASE");
  ASSERT_EQ(
      InDirectory("openssl pkcs12 -export -nocerts -inkey key.pem -passout pass:pw -out nocert.p12").status,
      0);
  EXPECT_REASON(Read("nocert.p12", "pw"), "NO_CERTIFICATE");
  ASSERT_EQ(
      InDirectory("openssl pkcs12 -export -nomac -inkey key.pem -in leaf.pem -passout pass:pw -out nomac.p12")
          .status,
      0);
  EXPECT_REASON(Read("nomac.p12", "no"), "WRONG_PASSPHRASE");

  EXPECT_REASON(WritePkcs12(root_, Key(), {}, base::Secret("pw"), Pkcs12Encryption::kAes256Sha256, "x"),
                "KEY_MISMATCH");
  EXPECT_REASON(WritePkcs12({1}, Key(), {}, base::Secret("pw"), Pkcs12Encryption::kAes256Sha256, "x"),
                "CERTIFICATE_MALFORMED");
  EXPECT_REASON(ParsePkcs12Encryption("rc2"), "PKCS12_ENCRYPTION_UNKNOWN");
  EXPECT_EQ(*ParsePkcs12Encryption("aes256-sha256"), Pkcs12Encryption::kAes256Sha256);
}

TEST_F(Pkcs12Test, RefusesSeveralKeys) {
  const auto made = InDirectory(
      "for n in a b; do keytool -genkeypair -alias $n -keyalg RSA -keysize 2048 -dname CN=$n -storetype "
      "PKCS12 "
      "-keystore two.p12 -storepass password || exit 1; done");
  ASSERT_EQ(made.status, 0) << made.output;
  EXPECT_REASON(Read("two.p12", "password"), "SEVERAL_KEYS");
}

TEST_F(Pkcs12Test, RefusesAKeyThatIsNotOfItsCertificate) {
  // No tool writes such a file willingly: OpenSSL's library does when it is given the parts one by one.
  const Pkcs12Ptr file([&]() -> PKCS12* {
    STACK_OF(PKCS12_SAFEBAG)* bags = nullptr;
    STACK_OF(PKCS7)* safes = nullptr;
    const unsigned char* next = root_.data();
    const X509Ptr certificate(d2i_X509(nullptr, &next, static_cast<long>(root_.size())));
    EXPECT_NE(PKCS12_add_cert(&bags, certificate.get()), nullptr);
    EXPECT_NE(PKCS12_add_key(&bags, Key().get(), 0, 1, NID_aes_256_cbc, "pw"), nullptr);
    EXPECT_EQ(PKCS12_add_safe(&safes, bags, -1, 0, nullptr), 1);
    PKCS12* made = PKCS12_add_safes(safes, 0);
    EXPECT_EQ(PKCS12_set_mac(made, "pw", 2, nullptr, 0, 1, EVP_sha256()), 1);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return made;
  }());
  unsigned char* encoded = nullptr;
  const int size = i2d_PKCS12(file.get(), &encoded);
  const std::string der(reinterpret_cast<char*>(encoded), static_cast<std::size_t>(size));
  OPENSSL_free(encoded);
  EXPECT_REASON(ReadPkcs12(der, base::Secret("pw")), "KEY_MISMATCH");
}

TEST_F(Pkcs12Test, DamagedFilesNeverCrash) {
  const auto file =
      WritePkcs12(leaf_, Key(), {sub_}, base::Secret("pw"), Pkcs12Encryption::kAes256Sha256, "x", 1);
  ASSERT_OK(file);
  const std::string good(file->view());
  for (std::size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    const auto contents = ReadPkcs12(bad, base::Secret("pw"));
    EXPECT_TRUE(!contents.ok() ||
                contents->certificate == leaf_);  // octets may carry no meaning, such as an attribute
    EXPECT_FALSE(ReadPkcs12(good.substr(0, i), base::Secret("pw")).ok());
  }
}

}  // namespace
}  // namespace phonepki::ca
