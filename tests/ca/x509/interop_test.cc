// Certificates judged by three implementations that share no code with ours: GnuTLS, NSS and Java.
// Their tools are required: a machine without them fails these tests.
#include <fstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::CopyOf;
using testing::Name;
using testing::RunCommand;
using testing::TempDir;
using testing::TestKey;

constexpr KeyAlgorithm kModern[] = {KeyAlgorithm::kRsa2048, KeyAlgorithm::kRsa3072, KeyAlgorithm::kRsa4096,
                                    KeyAlgorithm::kEcdsaP256, KeyAlgorithm::kEcdsaP384};
constexpr CertificateKind kLeafKinds[] = {CertificateKind::kWbmServer, CertificateKind::kSpe,
                                          CertificateKind::kTlsServer, CertificateKind::kTlsClient};

struct Path {
  std::string name;
  std::vector<base::Bytes> certificates;  // end entity first, trust anchor last
  int nss_usage;                          // as vfychain counts: 0 client, 1 server, 3 CA
};

int NssUsage(CertificateKind kind) {
  if (kind == CertificateKind::kCa) return 3;
  return kind == CertificateKind::kTlsClient ? 0 : 1;
}

class InteropTest : public ::testing::Test {
 protected:
  InteropTest() : now_(base::SystemClock().Now()), clock_(now_) {
    const auto made = RunCommand(absl::StrCat("certutil -N --empty-password -d sql:", directory_.path()));
    EXPECT_EQ(made.status, 0) << "certutil (NSS) is required: " << made.output;
  }

  std::unique_ptr<Issuer> Root(KeyAlgorithm algorithm, const Profile& profile = CaProfile()) {
    const auto der =
        SelfSignCa(TestKey(algorithm), Name("C=US, O=Example, CN=Root " + PrintKeyAlgorithm(algorithm)),
                   now_ - absl::Hours(1), now_ + absl::Hours(24 * 400), profile);
    EXPECT_TRUE(der.ok()) << der.status();
    return *Issuer::Create(*der, CopyOf(TestKey(algorithm)), clock_);
  }

  base::Bytes Issue(const Issuer& issuer, const Profile& profile, const std::string& subject,
                    const PrivateKey& key) {
    IssuanceRequest request;
    request.subject = Name(subject);
    if (!profile.ca) {
      request.names.dns = {"p1.example.com"};
      request.names.ip = {"10.1.2.3", "2001:db8::1"};
    }
    request.spki_der = key.spki_der();
    request.not_before = now_ - absl::Hours(1);
    request.not_after = now_ + absl::Hours(24 * 365);
    auto permit = issuer.Prepare(profile, request);
    EXPECT_TRUE(permit.ok()) << permit.status();
    auto der = issuer.Sign(*std::move(permit));
    EXPECT_TRUE(der.ok()) << der.status();
    return *std::move(der);
  }

  // True if all three implementations accept every path; says which refuses which.
  ::testing::AssertionResult Accepted(const std::vector<Path>& paths,
                                      const std::string& certtool_options = "") {
    std::string java_index;
    std::string gnutls;
    std::string nss;
    for (const Path& path : paths) {
      std::string chain_pem;
      std::string nss_arguments;
      for (std::size_t i = 0; i < path.certificates.size(); ++i) {
        const base::Bytes& der = path.certificates[i];
        const std::string file = absl::StrCat(path.name, ".", i, ".der");
        directory_.Write(file, std::string(der.begin(), der.end()));
        const bool anchor = i + 1 == path.certificates.size();
        absl::StrAppend(&java_index, file, anchor ? "\n" : " ");
        absl::StrAppend(&nss_arguments, anchor ? " -t " : " ", file);
        if (anchor) {
          directory_.Write(path.name + ".root.pem", ToPem(der));
        } else {
          chain_pem += ToPem(der);
        }
      }
      directory_.Write(path.name + ".chain.pem", chain_pem);
      absl::StrAppend(&gnutls, "out=$(certtool --verify ", certtool_options, " --load-ca-certificate ",
                      path.name, ".root.pem --infile ", path.name,
                      ".chain.pem 2>&1) || echo \"GnuTLS refuses ", path.name, ": $out\"\n");
      absl::StrAppend(&nss, "out=$(vfychain -d sql:. -pp -u ", path.nss_usage, nss_arguments,
                      " 2>&1) || echo \"NSS refuses ", path.name, ": $out\"\n");
    }
    directory_.Write("gnutls.sh", gnutls);
    directory_.Write("nss.sh", nss);
    const std::string index = directory_.Write("index", java_index);
    const auto in_directory = absl::StrCat("cd ", directory_.path(), " && ");
    std::string complaints =
        RunCommand(in_directory + "sh gnutls.sh").output + RunCommand(in_directory + "sh nss.sh").output;
    const auto java =
        RunCommand(absl::StrCat("java " PHONEPKI_SOURCE_DIR "/tests/ca/x509/Verify.java ", index));
    if (!absl::StrContains(java.output, absl::StrCat("checked ", paths.size(), "\n"))) {
      absl::StrAppend(&complaints, "Java: ", java.output);
    }
    if (complaints.empty()) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << complaints;
  }

  TempDir directory_;
  const absl::Time now_;
  testing::FixedClock clock_;
};

TEST_F(InteropTest, EveryKeyAndKindUnderEveryRoot) {
  std::vector<Path> paths;
  for (const KeyAlgorithm ca : kModern) {
    const auto root = Root(ca);
    for (const KeyAlgorithm algorithm : kModern) {
      for (const CertificateKind kind : kLeafKinds) {
        const base::Bytes leaf =
            Issue(*root, LeafProfile(kind), "C=US, O=Example, CN=p1.example.com", TestKey(algorithm, 1));
        paths.push_back({absl::StrCat(PrintKeyAlgorithm(ca), "_", PrintKeyAlgorithm(algorithm), "_",
                                      PrintCertificateKind(kind)),
                         {leaf, root->certificate_der()},
                         NssUsage(kind)});
        ASSERT_OK(VerifyChain(leaf, {}, {root->certificate_der()}, now_));
      }
    }
  }
  ASSERT_EQ(paths.size(), 100u);
  EXPECT_TRUE(Accepted(paths));
}

TEST_F(InteropTest, EverySubordinateUnderEveryRoot) {
  std::vector<Path> paths;
  for (const KeyAlgorithm root_algorithm : kModern) {
    Profile root_profile = CaProfile();
    root_profile.path_len = 2;
    const auto root = Root(root_algorithm, root_profile);
    for (const KeyAlgorithm sub_algorithm : kModern) {
      const std::string name =
          absl::StrCat(PrintKeyAlgorithm(root_algorithm), "_", PrintKeyAlgorithm(sub_algorithm));
      const base::Bytes sub_der =
          Issue(*root, CaProfile(), "C=US, O=Example, CN=Sub", TestKey(sub_algorithm, 2));
      const auto sub = Issuer::Create(sub_der, CopyOf(TestKey(sub_algorithm, 2)), clock_);
      ASSERT_OK(sub);
      const base::Bytes leaf = Issue(**sub, LeafProfile(CertificateKind::kSpe), "CN=p1.example.com",
                                     TestKey(KeyAlgorithm::kEcdsaP256, 1));
      paths.push_back({name + "_sub", {sub_der, root->certificate_der()}, 3});
      paths.push_back({name + "_leaf", {leaf, sub_der, root->certificate_der()}, 1});
    }
  }
  EXPECT_TRUE(Accepted(paths));
}

TEST_F(InteropTest, DigestsExtensionsAndNames) {
  std::vector<Path> paths;
  for (const KeyAlgorithm ca : {KeyAlgorithm::kRsa2048, KeyAlgorithm::kEcdsaP384}) {
    const auto root = Root(ca);
    for (const char* digest : {"sha256", "sha384", "sha512"}) {
      Profile profile = LeafProfile(CertificateKind::kSpe);
      profile.digest = digest;
      profile.key_usage_critical = true;
      profile.extended_key_usage_critical = true;
      profile.crl_url = "http://pki.example.com/crl/1";
      profile.ocsp_url = "http://pki.example.com/ocsp";
      profile.aia_ca_url = "http://pki.example.com/ca/1.cer";
      const base::Bytes leaf = Issue(*root, profile,
                                     "C=DE, L=München, O=Example\\, Inc., serialNumber=1-2, DC=example, "
                                     "E=a@example.com, CN=Größe 電話+UID=42",
                                     TestKey(KeyAlgorithm::kRsa2048, 1));
      paths.push_back({absl::StrCat(PrintKeyAlgorithm(ca), "_", digest), {leaf, root->certificate_der()}, 1});
    }
  }
  EXPECT_TRUE(Accepted(paths));
  const auto printed =
      RunCommand(absl::StrCat("certtool -i --infile ", directory_.path(), "/", paths[0].name, ".chain.pem"));
  EXPECT_TRUE(absl::StrContains(printed.output, "IPAddress: 2001:db8::1")) << printed.output;
  EXPECT_TRUE(absl::StrContains(printed.output, "DNSname: p1.example.com"));
  EXPECT_TRUE(absl::StrContains(printed.output, "URI: http://pki.example.com/crl/1"));
  const auto keytool =
      RunCommand(absl::StrCat("keytool -printcert -file ", directory_.path(), "/", paths[0].name, ".0.der"));
  EXPECT_EQ(keytool.status, 0) << keytool.output;
  EXPECT_TRUE(absl::StrContains(keytool.output, "accessMethod: ocsp")) << keytool.output;
}

// RSA 1024 and SHA-1 are for firmware that knows nothing else; the tools take them only when told to.
TEST_F(InteropTest, LegacyKeysAndDigests) {
  Profile ca = CaProfile();
  ca.allow_rsa1024 = ca.allow_sha1 = true;
  ca.digest = "sha1";
  const auto root = Root(KeyAlgorithm::kRsa1024, ca);
  Profile leaf_profile = LeafProfile(CertificateKind::kWbmServer);
  leaf_profile.allow_rsa1024 = leaf_profile.allow_sha1 = true;
  leaf_profile.digest = "sha1";
  const base::Bytes leaf =
      Issue(*root, leaf_profile, "CN=p1.example.com", TestKey(KeyAlgorithm::kRsa1024, 1));
  directory_.Write("root.pem", ToPem(root->certificate_der()));
  directory_.Write("leaf.pem", ToPem(leaf));
  const auto gnutls = RunCommand(absl::StrCat("cd ", directory_.path(),
                                              " && certtool --verify --verify-allow-broken --verify-profile "
                                              "very-weak --load-ca-certificate root.pem --infile leaf.pem"));
  EXPECT_EQ(gnutls.status, 0) << gnutls.output;
}

TEST_F(InteropTest, ToolsRefuseWhatIsWrong) {
  const auto root = Root(KeyAlgorithm::kEcdsaP256);
  const auto stranger = Root(KeyAlgorithm::kRsa2048);
  const base::Bytes leaf = Issue(*root, LeafProfile(CertificateKind::kWbmServer), "CN=p1.example.com",
                                 TestKey(KeyAlgorithm::kEcdsaP256, 1));
  const auto refusal = Accepted({{"wrong_root", {leaf, stranger->certificate_der()}, 1}});
  ASSERT_FALSE(refusal);
  for (const char* name :
       {"GnuTLS refuses wrong_root", "NSS refuses wrong_root", "Java: FAILED wrong_root"}) {
    EXPECT_TRUE(absl::StrContains(refusal.message(), name)) << refusal.message();
  }
}

}  // namespace
}  // namespace phonepki::ca
