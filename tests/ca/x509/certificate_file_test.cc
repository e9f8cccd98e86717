// Files as administrators bring them, made by the tools that administrators use (B-040 to B-043).
#include "ca/x509/certificate_file.h"

#include <fstream>
#include <sstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::Name;
using testing::RunCommand;
using testing::TempDir;
using testing::TestKey;

class CertificateFileTest : public ::testing::Test {
 protected:
  CertificateFileTest() : now_(base::SystemClock().Now()), clock_(now_) {
    root_ = *SelfSignCa(TestKey(KeyAlgorithm::kRsa2048), Name("CN=Root"), now_, now_ + absl::Hours(48),
                        CaProfile());
    const auto root = Issuer::Create(root_, testing::CopyOf(TestKey(KeyAlgorithm::kRsa2048)), clock_);
    sub_ = Issue(**root, CaProfile(), "CN=Sub", TestKey(KeyAlgorithm::kEcdsaP256));
    const auto sub = Issuer::Create(sub_, testing::CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), clock_);
    leaf_ = Issue(**sub, LeafProfile(CertificateKind::kSpe), "CN=p1.example.com", Key());
    other_ca_ = *SelfSignCa(TestKey(KeyAlgorithm::kEcdsaP384), Name("CN=Other"), now_, now_ + absl::Hours(48),
                            CaProfile());
    directory_.Write("key.pem", PrivateKeyToPem(Key())->view());
    directory_.Write("eckey.pem", PrivateKeyToPem(EcKey())->view());
    ec_leaf_ = Issue(**sub, LeafProfile(CertificateKind::kSpe), "CN=p2.example.com", EcKey());
    directory_.Write("ecleaf.pem", ToPem(ec_leaf_));
    directory_.Write("leaf.pem", ToPem(leaf_));
    directory_.Write("root.pem", ToPem(root_));
    directory_.Write("chain.pem", ToPem(sub_) + ToPem(root_));
    directory_.Write("cas.pem", ToPem(sub_) + ToPem(root_) + ToPem(other_ca_));
    directory_.Write("all.pem", ToPem(leaf_) + ToPem(sub_) + ToPem(root_));
  }

  static const PrivateKey& Key() { return TestKey(KeyAlgorithm::kRsa2048, 1); }
  static const PrivateKey& EcKey() { return TestKey(KeyAlgorithm::kEcdsaP256, 1); }

  base::Bytes Issue(const Issuer& issuer, const Profile& profile, const std::string& subject,
                    const PrivateKey& key, absl::Duration later = absl::ZeroDuration()) {
    IssuanceRequest request;
    request.subject = Name(subject);
    request.spki_der = key.spki_der();
    request.not_before = now_ + later;
    request.not_after = now_ + absl::Hours(24);
    auto permit = issuer.Prepare(profile, request);
    EXPECT_TRUE(permit.ok()) << permit.status();
    return *issuer.Sign(*std::move(permit));
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

  static absl::StatusOr<CertificateFile> Read(std::string_view content, const std::string& passphrase = "") {
    return ReadCertificateFile(content, base::Secret(passphrase));
  }
  static absl::StatusOr<std::vector<base::Bytes>> ReadCas(std::string_view content) {
    const auto file = Read(content);
    if (!file.ok()) return file.status();
    return CaCertificatesOf(*file);
  }
  static std::string Der(const base::Bytes& certificate) { return {certificate.begin(), certificate.end()}; }

  void ExpectLeafWithChain(const absl::StatusOr<CertificateFile>& file, const std::string& format) {
    ASSERT_OK(file);
    ASSERT_TRUE(file->key.has_value());
    EXPECT_EQ(file->key->spki_der(), Key().spki_der());
    EXPECT_EQ(file->leaf, leaf_);
    EXPECT_EQ(file->chain, (std::vector<base::Bytes>{sub_, root_}));
    EXPECT_TRUE(file->others.empty());
    EXPECT_EQ(file->format, format);
  }

  TempDir directory_;
  const absl::Time now_;
  testing::FixedClock clock_;
  base::Bytes root_, sub_, leaf_, ec_leaf_, other_ca_;
};

TEST_F(CertificateFileTest, B043ReadsPkcs12OfEveryTool) {
  const std::string export_all = "openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem ";
  for (const std::string options :
       {"", "-legacy", "-nomac", "-keypbe NONE -certpbe NONE", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES",
        "-keypbe AES-128-CBC -certpbe AES-128-CBC -macalg sha512", "-iter 1", "-maciter -name Größe"}) {
    const std::string file = Made(absl::StrCat(export_all, options, " -passout pass:pw -out in"));
    SCOPED_TRACE(options);
    ExpectLeafWithChain(Read(file, "pw"), "pkcs12");
    if (options == "-keypbe NONE -certpbe NONE" || options == "-nomac") continue;
    EXPECT_REFUSED(Read(file, "PW"), "WRONG_PASSPHRASE", "passphrase");
    EXPECT_REFUSED(Read(file), "PASSPHRASE_NEEDED", "passphrase");
  }
  ExpectLeafWithChain(
      Read(Made("certtool --to-p12 --p12-name phone --password pw --load-privkey key.pem --load-certificate "
                "all.pem --outder --outfile in"),
           "pw"),
      "pkcs12");
  ExpectLeafWithChain(
      Read(Made("certtool --to-p12 --p12-name phone --password pw --load-privkey key.pem --load-certificate "
                "all.pem --outfile in"),
           "pw"),
      "pkcs12");
  ExpectLeafWithChain(
      Read(Made(export_all + "-name phone -passout pass:password -out pre && keytool -importkeystore "
                             "-noprompt -srckeystore pre -srcstorepass password -destkeystore in "
                             "-deststoretype PKCS12 -deststorepass password"),
           "password"),
      "pkcs12");
  // NSS: PBES2 with 600,000 rounds and more.
  ExpectLeafWithChain(
      Read(
          Made(export_all + "-name phone -passout pass:pw -out pre && rm -rf nss && mkdir nss && certutil -N "
                            "--empty-password -d sql:nss && pk12util -i pre -W pw -d sql:nss && pk12util -o "
                            "in -n phone -W pw -d sql:nss"),
          "pw"),
      "pkcs12");
}

TEST_F(CertificateFileTest, B043ReadsPassphrasesOfEveryKind) {
  for (const char* const passphrase : {"", "Größe 電話", "with 'quotes\" and spaces "}) {
    directory_.Write("phrase", absl::StrCat(passphrase, "\n"));
    ExpectLeafWithChain(Read(Made("openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem "
                                  "-passout file:phrase -out in"),
                             passphrase),
                        "pkcs12");
  }
  EXPECT_REFUSED(Read("x", "\xff"), "PASSPHRASE_INVALID", "passphrase");
  EXPECT_REFUSED(Read("x", std::string("a\0b", 3)), "PASSPHRASE_INVALID", "passphrase");
}

TEST_F(CertificateFileTest, B043ReadsPemKeysOfEveryForm) {
  const std::string certificates = "cat leaf.pem chain.pem; ";
  for (const char* const key :
       {"cat key.pem", "openssl rsa -in key.pem -traditional",
        "openssl rsa -in key.pem -traditional -aes256 -passout pass:pw",
        "openssl rsa -in key.pem -traditional -des3 -passout pass:pw",
        "openssl pkcs8 -topk8 -in key.pem -passout pass:pw",
        "openssl pkcs8 -topk8 -in key.pem -scrypt -passout pass:pw",
        "openssl pkcs8 -topk8 -in key.pem -v1 PBE-SHA1-3DES -passout pass:pw",
        "openssl pkcs8 -topk8 -in key.pem -v1 PBE-MD5-DES -provider legacy -provider default -passout "
        "pass:pw",
        "certtool --to-p8 --load-privkey key.pem --password pw", "certtool -k --infile key.pem"}) {
    SCOPED_TRACE(key);
    const std::string file =
        Made(absl::StrCat("{ ", certificates, key, "; } >in 2>err || { cat err; exit 1; }"));
    ExpectLeafWithChain(Read(file, "pw"), "pem");
    if (absl::StrContains(file, "ENCRYPTED")) {
      EXPECT_REFUSED(Read(file, "no"), "WRONG_PASSPHRASE", "passphrase");
      EXPECT_REFUSED(Read(file), "PASSPHRASE_NEEDED", "passphrase");
    }
  }
  for (const char* const key :
       {"cat eckey.pem", "openssl ec -in eckey.pem",
        "openssl ecparam -name prime256v1; openssl ec -in eckey.pem -aes128 -passout pass:pw"}) {
    SCOPED_TRACE(key);
    const auto file = Read(Made(absl::StrCat("{ ", key, "; cat ecleaf.pem root.pem; } >in")), "pw");
    ASSERT_OK(file);
    EXPECT_EQ(file->leaf, ec_leaf_);
    EXPECT_EQ(file->key->spki_der(), EcKey().spki_der());
    EXPECT_TRUE(file->chain.empty());  // the certificate between them is missing
    EXPECT_EQ(file->others, (std::vector<base::Bytes>{root_}));
  }
}

// Text around the blocks, line ends of Windows, one long line, the mark of UTF-8, the order of the blocks:
// PEM as it comes out of mail programs and editors.
TEST_F(CertificateFileTest, B043ReadsPemAmongOtherText) {
  const std::string key(PrivateKeyToPem(Key())->view());
  const std::string upside_down = ToPem(root_) + ToPem(sub_) + key + ToPem(leaf_);
  ExpectLeafWithChain(Read(upside_down), "pem");
  ExpectLeafWithChain(Read(absl::StrReplaceAll(upside_down, {{"\n", "\r\n"}})), "pem");
  ExpectLeafWithChain(Read("\xef\xbb\xbf" + upside_down), "pem");
  ExpectLeafWithChain(Read("0 certificates follow\n" + upside_down + "end\n"), "pem");
  ExpectLeafWithChain(Read(upside_down + upside_down), "pem");
  ExpectLeafWithChain(Read(Made("openssl x509 -in leaf.pem -text >in; openssl x509 -in chain.pem -text >>in; "
                                "cat root.pem key.pem >>in")),
                      "pem");
  ExpectLeafWithChain(
      Read(Made("for f in leaf.pem root.pem key.pem; do sed 's/-----BEGIN.*/&@/; s/-----END/@&/' "
                "$f | tr -d '\\n' | tr '@' '\\n'; echo; done >in; cat chain.pem >>in")),
      "pem");
}

TEST_F(CertificateFileTest, B043OfARenewedCertificateTheLastOneCounts) {
  const auto sub = Issuer::Create(sub_, testing::CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), clock_);
  const base::Bytes newer =
      Issue(**sub, LeafProfile(CertificateKind::kSpe), "CN=p1.example.com", Key(), absl::Hours(1));
  const auto file =
      Read(ToPem(leaf_) + ToPem(newer) + std::string(PrivateKeyToPem(Key())->view()) + ToPem(sub_));
  ASSERT_OK(file);
  EXPECT_EQ(file->leaf, newer);
  EXPECT_EQ(file->chain, (std::vector<base::Bytes>{sub_}));
  EXPECT_EQ(file->others, (std::vector<base::Bytes>{leaf_}));
}

TEST_F(CertificateFileTest, B042AFileWithSeveralCasGivesSeveralEntries) {
  const std::vector<base::Bytes> all{sub_, root_, other_ca_};
  for (const char* const command :
       {"cp cas.pem in", "openssl crl2pkcs7 -nocrl -certfile cas.pem -out in",
        "openssl crl2pkcs7 -nocrl -certfile cas.pem -outform DER -out in",
        "openssl crl2pkcs7 -nocrl -certfile cas.pem | sed 's/PKCS7/CMS/' >in",
        "certtool --p7-generate --load-certificate cas.pem --outder --outfile in || openssl crl2pkcs7 -nocrl "
        "-certfile cas.pem -out in",
        "openssl pkcs12 -export -nokeys -in cas.pem -passout pass: -out in",
        "csplit -s -z -f part cas.pem '/BEGIN/' '{*}' && for p in part*; do openssl x509 -in $p -outform "
        "DER; "
        "done >in && rm part*"}) {
    SCOPED_TRACE(command);
    const auto cas = ReadCas(Made(command));
    ASSERT_OK(cas);
    EXPECT_THAT(*cas, ::testing::UnorderedElementsAreArray(all));
  }
  EXPECT_EQ(*ReadCas(ToPem(sub_) + ToPem(root_) + ToPem(other_ca_)), all);  // the order of the file stays
}

TEST_F(CertificateFileTest, B042OneCaCertificateInEveryForm) {
  EXPECT_EQ(*ReadCas(Der(root_)), std::vector<base::Bytes>{root_});
  EXPECT_EQ(*ReadCas(ToPem(root_)), std::vector<base::Bytes>{root_});
  EXPECT_EQ(Read(Der(root_))->format, "der");
  EXPECT_EQ(Read(Made("openssl crl2pkcs7 -nocrl -certfile root.pem -outform DER -out in"))->format, "pkcs7");
  EXPECT_FALSE(Read(Der(root_))->key.has_value());
  EXPECT_EQ(*ReadCas(Made("openssl x509 -in root.pem -trustout -out in")), std::vector<base::Bytes>{root_});
}

TEST_F(CertificateFileTest, B042ADuplicateCountsOnce) {
  EXPECT_EQ(*ReadCas(ToPem(root_) + ToPem(sub_) + ToPem(root_)), (std::vector<base::Bytes>{root_, sub_}));
  EXPECT_EQ(*ReadCas(Der(root_) + Der(root_)), std::vector<base::Bytes>{root_});
}

TEST_F(CertificateFileTest, B042RefusesACertificateThatIsNotOfACa) {
  const auto refused = ReadCas(ToPem(root_) + ToPem(leaf_));
  EXPECT_REFUSED(refused, "NOT_A_CA_CERTIFICATE", "file");
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "CN=p1.example.com")) << refused.status();
  EXPECT_REFUSED(ReadCas(ToPem(leaf_) + ToPem(ec_leaf_)), "NOT_A_CA_CERTIFICATE", "file");
}

TEST_F(CertificateFileTest, TheCertificateWithoutAKeyIsFoundIfThereIsOne) {
  const auto one = Read(ToPem(root_) + ToPem(leaf_) + ToPem(sub_));
  ASSERT_OK(one);
  EXPECT_FALSE(one->key.has_value());
  EXPECT_EQ(one->leaf, leaf_);
  EXPECT_EQ(one->chain, (std::vector<base::Bytes>{sub_, root_}));
  const auto two = Read(ToPem(leaf_) + ToPem(ec_leaf_));
  ASSERT_OK(two);
  EXPECT_FALSE(two->leaf.has_value());
  EXPECT_EQ(two->others, (std::vector<base::Bytes>{leaf_, ec_leaf_}));
}

TEST_F(CertificateFileTest, RefusesFilesOfOtherKindsAndSaysWhatTheyAre) {
  const struct {
    const char* command;
    const char* reason;
    const char* text;
  } cases[] = {
      {"true >in", "NOT_A_CERTIFICATE_FILE", "empty"},
      {"echo hello >in", "NOT_A_CERTIFICATE_FILE", "no certificate"},
      {"openssl req -new -key key.pem -subj /CN=x -outform DER -out in", "NOT_A_CERTIFICATE_FILE", "request"},
      {"openssl req -new -key key.pem -subj /CN=x -out in", "NOT_A_CERTIFICATE_FILE", "CERTIFICATE REQUEST"},
      {"openssl rsa -in key.pem -outform DER -out in", "KEY_WITHOUT_CERTIFICATE", "private key alone"},
      {"openssl pkcs8 -topk8 -in key.pem -outform DER -passout pass:pw -out in", "KEY_WITHOUT_CERTIFICATE",
       "private key alone"},
      {"cp key.pem in", "KEY_WITHOUT_CERTIFICATE", "no certificate"},
      {"cat key.pem ecleaf.pem >in", "KEY_WITHOUT_CERTIFICATE", "none of the certificates"},
      {"cat key.pem eckey.pem leaf.pem >in", "SEVERAL_KEYS", "several private keys"},
      {"openssl genpkey -algorithm ed25519 -out in && cat leaf.pem >>in", "KEY_UNSUPPORTED", "ED25519"},
      {"keytool -genkeypair -alias a -keyalg RSA -dname CN=a -storetype JKS -keystore in -storepass password",
       "NOT_A_CERTIFICATE_FILE", "keytool -importkeystore"},
      {"echo hello | openssl cms -data_create -outform DER -out in", "NOT_A_CERTIFICATE_FILE",
       "kind that holds"},
      {"cat /bin/sh >in", "NOT_A_CERTIFICATE_FILE", "no certificate"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.command);
    const auto file = Read(Made(c.command), "pw");
    EXPECT_REFUSED(file, c.reason, "file");
    EXPECT_TRUE(absl::StrContains(file.status().message(), c.text)) << file.status();
  }
}

TEST_F(CertificateFileTest, RefusesWhatIsTooLarge) {
  EXPECT_REFUSED(Read(std::string(kMaxCertificateFileSize + 1, 'x')), "FILE_TOO_LARGE", "file");
  std::string many;
  for (std::size_t i = 0; i < 2 * kMaxFileCertificates; ++i) many += Der(root_);
  EXPECT_OK(Read(many));
  many += Der(root_);
  EXPECT_REFUSED(Read(many), "TOO_MANY_CERTIFICATES", "file");
}

TEST_F(CertificateFileTest, RefusesADamagedKey) {
  const std::string good(PrivateKeyToPem(Key())->view());
  ASSERT_OK(Read(good + ToPem(leaf_)));
  for (std::size_t at = 200; at < good.size() - 100; at += 100) {
    std::string damaged = good;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    const auto file = Read(damaged + ToPem(leaf_));
    // Damage to the public half makes it another key.
    EXPECT_TRUE(base::ReasonOf(file.status()) == "KEY_MALFORMED" ||
                base::ReasonOf(file.status()) == "KEY_WITHOUT_CERTIFICATE" ||
                base::ReasonOf(file.status()) == "KEY_UNSUPPORTED" ||
                base::ReasonOf(file.status()) == "CERTIFICATE_MALFORMED")
        << at << " " << file.status();
  }
  EXPECT_REFUSED(Read("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + ToPem(leaf_)),
                 "KEY_MALFORMED", "file");
}

}  // namespace
}  // namespace phonepki::ca
