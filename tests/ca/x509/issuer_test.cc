#include "ca/x509/issuer.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "ca/x509/lint.h"
#include "ca/x509/openssl_ptr.h"
#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::At;
using testing::CopyOf;
using testing::FixedClock;
using testing::Name;
using testing::TestCa;
using testing::TestKey;

constexpr char kCaName[] = "C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA";

IssuanceRequest PhoneRequest() {
  IssuanceRequest request;
  request.subject = Name("C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=10.1.2.3");
  request.names.ip = {"10.1.2.3"};
  request.spki_der = TestKey(KeyAlgorithm::kEcdsaP256).spki_der();
  request.not_before = At("2026-06-01T00:00:00Z");
  request.not_after = At("2029-06-01T00:00:00Z");
  return request;
}

class IssuerTest : public ::testing::Test {
 protected:
  IssuerTest()
      : ca_(KeyAlgorithm::kEcdsaP256, kCaName, At("2025-01-01T00:00:00Z"), At("2055-01-01T00:00:00Z"),
            At("2026-01-01T00:00:00Z")) {}

  base::Bytes Issue(const Profile& profile, const IssuanceRequest& request) {
    auto permit = ca_.issuer->Prepare(profile, request);
    EXPECT_TRUE(permit.ok()) << permit.status();
    auto certificate = ca_.issuer->Sign(*std::move(permit));
    EXPECT_TRUE(certificate.ok()) << certificate.status();
    return *std::move(certificate);
  }

  absl::Status Refusal(const Profile& profile, const IssuanceRequest& request) {
    return ca_.issuer->Prepare(profile, request).status();
  }

  TestCa ca_;
};

X509Ptr Decode(const base::Bytes& der) {
  const unsigned char* next = der.data();
  return X509Ptr(d2i_X509(nullptr, &next, static_cast<long>(der.size())));
}

// The extensions' short names; critical ones with a '!'.
std::vector<std::string> ExtensionsOf(const base::Bytes& der) {
  const X509Ptr certificate = Decode(der);
  std::vector<std::string> names;
  for (int i = 0; i < X509_get_ext_count(certificate.get()); ++i) {
    X509_EXTENSION* extension = X509_get_ext(certificate.get(), i);
    names.push_back(std::string(OBJ_nid2sn(OBJ_obj2nid(X509_EXTENSION_get_object(extension)))) +
                    (X509_EXTENSION_get_critical(extension) ? "!" : ""));
  }
  return names;
}

TEST_F(IssuerTest, ValidityFollowsTheTable) {
  for (const auto& item : testing::TestData("validity.json")) {
    SCOPED_TRACE(item["name"].get<std::string>());
    ca_.clock.Set(At(item.value("now", "2026-01-01T00:00:00Z")));
    Profile profile = LeafProfile(CertificateKind::kWbmServer);
    profile.allow_2038 = item.value("allow_2038", false);
    IssuanceRequest request = PhoneRequest();
    request.not_before = At(item["not_before"].get<std::string>());
    request.not_after = At(item["not_after"].get<std::string>());
    auto permit = ca_.issuer->Prepare(profile, request);
    if (item.contains("reason")) {
      const std::string reason = item["reason"];
      EXPECT_REASON(permit, reason);
      const bool precondition = reason == "CA_EXPIRES_FIRST" || reason == "CA_EXPIRED";
      EXPECT_EQ(permit.status().code(),
                precondition ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kInvalidArgument);
      continue;
    }
    ASSERT_OK(permit);
    const auto certificate = ca_.issuer->Sign(*std::move(permit));
    ASSERT_OK(certificate);
    const auto info = ParseCertificate(*certificate);
    ASSERT_OK(info);
    EXPECT_EQ(info->not_before, request.not_before);
    EXPECT_EQ(info->not_after, request.not_after);
  }
}

TEST_F(IssuerTest, SelfSignedCaHasTheProfileOfTheRules) {
  const auto info = ParseCertificate(ca_.certificate);
  ASSERT_OK(info);
  EXPECT_TRUE(info->is_ca);
  EXPECT_TRUE(info->self_signed);
  EXPECT_EQ(info->subject, kCaName);
  EXPECT_EQ(info->issuer, kCaName);
  EXPECT_EQ(info->ski, info->aki);
  EXPECT_EQ(ExtensionsOf(ca_.certificate),
            (std::vector<std::string>{"basicConstraints!", "keyUsage", "subjectKeyIdentifier",
                                      "authorityKeyIdentifier"}));
  const X509Ptr certificate = Decode(ca_.certificate);
  EXPECT_EQ(X509_get_key_usage(certificate.get()),
            static_cast<std::uint32_t>(KU_KEY_CERT_SIGN | KU_CRL_SIGN));
  EXPECT_NE(X509_get0_authority_issuer(certificate.get()), nullptr);
  ASSERT_NE(X509_get0_authority_serial(certificate.get()), nullptr);
  EXPECT_EQ(ASN1_INTEGER_cmp(X509_get0_authority_serial(certificate.get()),
                             X509_get0_serialNumber(certificate.get())),
            0);
}

TEST_F(IssuerTest, LeafExtensionsFollowTheKind) {
  struct Expected {
    CertificateKind kind;
    std::uint32_t purposes;
  };
  for (const auto& [kind, purposes] : {Expected{CertificateKind::kWbmServer, XKU_SSL_SERVER},
                                       Expected{CertificateKind::kTlsServer, XKU_SSL_SERVER},
                                       Expected{CertificateKind::kSpe, XKU_SSL_SERVER | XKU_SSL_CLIENT},
                                       Expected{CertificateKind::kTlsClient, XKU_SSL_CLIENT}}) {
    SCOPED_TRACE(PrintCertificateKind(kind));
    for (const KeyAlgorithm algorithm : {KeyAlgorithm::kRsa2048, KeyAlgorithm::kEcdsaP256}) {
      IssuanceRequest request = PhoneRequest();
      request.spki_der = TestKey(algorithm).spki_der();
      const base::Bytes der = Issue(LeafProfile(kind), request);
      EXPECT_EQ(ExtensionsOf(der), (std::vector<std::string>{"basicConstraints!", "keyUsage",
                                                             "extendedKeyUsage", "subjectKeyIdentifier",
                                                             "authorityKeyIdentifier", "subjectAltName"}));
      const X509Ptr certificate = Decode(der);
      EXPECT_EQ(X509_get_extended_key_usage(certificate.get()), purposes);
      EXPECT_EQ(X509_get_key_usage(certificate.get()),
                KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION | (IsRsa(algorithm) ? KU_KEY_ENCIPHERMENT : 0u));
      EXPECT_EQ(X509_get0_authority_issuer(certificate.get()), nullptr);
      const auto info = ParseCertificate(der);
      ASSERT_OK(info);
      EXPECT_FALSE(info->is_ca);
      EXPECT_FALSE(info->self_signed);
      EXPECT_EQ(info->aki, ca_.issuer->key_id());
      EXPECT_EQ(info->key_algorithm, PrintKeyAlgorithm(algorithm));
    }
  }
}

TEST_F(IssuerTest, WritesNamesAndUrls) {
  IssuanceRequest request = PhoneRequest();
  request.names.dns = {"p1.example.com", "*.example.com"};
  request.names.ip = {"10.1.2.3", "2001:db8::1"};
  request.names.uri = {"sip:p1@example.com"};
  Profile profile = LeafProfile(CertificateKind::kSpe);
  profile.crl_url = "http://pki.example.com/crl/1";
  profile.ocsp_url = "http://pki.example.com/ocsp";
  profile.aia_ca_url = "http://pki.example.com/ca/1.cer";
  profile.key_usage_critical = true;
  profile.extended_key_usage_critical = true;
  const base::Bytes der = Issue(profile, request);
  EXPECT_EQ(ExtensionsOf(der),
            (std::vector<std::string>{"basicConstraints!", "keyUsage!", "extendedKeyUsage!",
                                      "subjectKeyIdentifier", "authorityKeyIdentifier", "subjectAltName",
                                      "crlDistributionPoints", "authorityInfoAccess"}));
  const auto info = ParseCertificate(der);
  ASSERT_OK(info);
  EXPECT_EQ(info->names, request.names);
  const X509Ptr certificate = Decode(der);
  using Urls = OpenSslPtr<STACK_OF(OPENSSL_STRING), X509_email_free>;
  const Urls ocsp(X509_get1_ocsp(certificate.get()));
  ASSERT_NE(ocsp, nullptr);
  EXPECT_STREQ(sk_OPENSSL_STRING_value(ocsp.get(), 0), profile.ocsp_url.c_str());
}

TEST_F(IssuerTest, PermitHoldsExactlyWhatIsSigned) {
  auto permit = ca_.issuer->Prepare(LeafProfile(CertificateKind::kWbmServer), PhoneRequest());
  ASSERT_OK(permit);
  const base::Bytes serial = permit->serial();
  const base::Bytes tbs = permit->tbs_der();
  EXPECT_EQ(permit->tbs_digest(), Sha256(tbs));
  EXPECT_EQ(permit->subject_der(), PhoneRequest().subject.ToDer());
  EXPECT_EQ(permit->not_after(), PhoneRequest().not_after);
  const auto der = ca_.issuer->Sign(*std::move(permit));
  ASSERT_OK(der);
  EXPECT_NE(std::search(der->begin(), der->end(), tbs.begin(), tbs.end()), der->end());
  EXPECT_EQ(ParseCertificate(*der)->serial, serial);
}

TEST_F(IssuerTest, SerialsArePositiveShortAndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 2000; ++i) {
    const auto permit = ca_.issuer->Prepare(LeafProfile(CertificateKind::kWbmServer), PhoneRequest());
    ASSERT_OK(permit);
    ASSERT_FALSE(permit->serial().empty());
    EXPECT_LE(permit->serial().size(), 20u);
    EXPECT_GE(permit->serial().size(), 8u);
    EXPECT_NE(permit->serial()[0], 0);
    EXPECT_TRUE(permit->serial().size() < 20 || permit->serial()[0] < 0x80);
    EXPECT_TRUE(seen.insert(HexLower(permit->serial())).second);
  }
}

TEST_F(IssuerTest, RefusesRequestsThatBreakTheRules) {
  const Profile wbm = LeafProfile(CertificateKind::kWbmServer);
  IssuanceRequest request = PhoneRequest();
  request.subject = Name(kCaName);
  EXPECT_REASON(Refusal(wbm, request), "SUBJECT_EQUALS_CA");
  request.subject = Name("c=us, st=fl, l=BOCA  RATON, o=unify, ou=sales, cn=mynewca");
  EXPECT_REASON(Refusal(wbm, request), "SUBJECT_EQUALS_CA");
  request.subject = DistinguishedName();
  EXPECT_REASON(Refusal(wbm, request), "SUBJECT_EMPTY");
  request.subject = *DistinguishedName::ParsePattern("CN=" + std::string(65, 'a'), "f");
  EXPECT_REASON(Refusal(wbm, request), "COMMON_NAME_TOO_LONG");

  for (const auto& names :
       {SubjectAltNames{.dns = {"under_score.example.com"}}, SubjectAltNames{.dns = {"10.1.2.3"}},
        SubjectAltNames{.dns = {""}}, SubjectAltNames{.dns = {"a.*.example.com"}},
        SubjectAltNames{.dns = {"-a.example.com"}}, SubjectAltNames{.dns = {std::string(64, 'a') + ".com"}},
        SubjectAltNames{.ip = {"10.1.2"}}, SubjectAltNames{.ip = {"001:0db8:::1"}},
        SubjectAltNames{.ip = {"10.1.2.3/24"}}, SubjectAltNames{.ip = {"fe80::1%eth0"}},
        SubjectAltNames{.uri = {"no scheme"}}, SubjectAltNames{.uri = {"nocolon"}}}) {
    request = PhoneRequest();
    request.names = names;
    EXPECT_REASON(Refusal(wbm, request), "SAN_INVALID");
  }

  Profile profile = wbm;
  profile.digest = "sha1";
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "DIGEST_REFUSED");
  profile.digest = "md5";
  profile.allow_sha1 = true;
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "DIGEST_REFUSED");
  profile = wbm;
  profile.crl_url = "pki.example.com";
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "URL_INVALID");
  profile = wbm;
  profile.path_len = 1;
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "PROFILE_INVALID");
  profile = wbm;
  profile.key_usage = kKeyCertSign;
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "PROFILE_INVALID");
  profile = wbm;
  profile.extended_key_usage = {"serverAuth"};
  EXPECT_REASON(Refusal(profile, PhoneRequest()), "PROFILE_INVALID");
}

TEST_F(IssuerTest, RefusesKeysThatAreShortOrStrange) {
  const Profile wbm = LeafProfile(CertificateKind::kWbmServer);
  IssuanceRequest request = PhoneRequest();
  request.spki_der = TestKey(KeyAlgorithm::kRsa1024).spki_der();
  EXPECT_REASON(Refusal(wbm, request), "KEY_TOO_SHORT");
  Profile legacy = wbm;
  legacy.allow_rsa1024 = true;
  legacy.allow_sha1 = true;
  legacy.digest = "sha1";
  EXPECT_EQ(ParseCertificate(Issue(legacy, request))->key_algorithm, "rsa1024");

  request.spki_der = {};
  EXPECT_REASON(Refusal(wbm, request), "KEY_UNSUPPORTED");
  request = PhoneRequest();
  request.spki_der.back() ^= 1;  // no longer on the curve
  EXPECT_REASON(Refusal(wbm, request), "KEY_UNSUPPORTED");
  const PkeyPtr ed25519(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  unsigned char* spki = nullptr;
  const int size = i2d_PUBKEY(ed25519.get(), &spki);
  request.spki_der.assign(spki, spki + size);
  OPENSSL_free(spki);
  EXPECT_REASON(Refusal(wbm, request), "KEY_UNSUPPORTED");
}

TEST_F(IssuerTest, CreateRefusesWhatIsNotACa) {
  const base::Bytes leaf = Issue(LeafProfile(CertificateKind::kWbmServer), PhoneRequest());
  EXPECT_REASON(Issuer::Create(leaf, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), ca_.clock), "NOT_A_CA");
  EXPECT_REASON(Issuer::Create(ca_.certificate, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256, 1)), ca_.clock),
                "KEY_MISMATCH");
  EXPECT_REASON(Issuer::Create({1, 2, 3}, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), ca_.clock),
                "CERTIFICATE_MALFORMED");
}

TEST_F(IssuerTest, PermitOfAnotherIssuerIsRefused) {
  auto other = Issuer::Create(ca_.certificate, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256, 100)), ca_.clock);
  ASSERT_OK(other);
  auto permit = ca_.issuer->Prepare(LeafProfile(CertificateKind::kWbmServer), PhoneRequest());
  ASSERT_OK(permit);
  EXPECT_EQ((*other)->Sign(*std::move(permit)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(IssuerTest, PathLengthIsHandedDown) {
  Profile root_profile = CaProfile();
  root_profile.path_len = 1;
  const TestCa root(KeyAlgorithm::kEcdsaP256, "CN=Root", At("2025-01-01T00:00:00Z"),
                    At("2035-01-01T00:00:00Z"), At("2026-01-01T00:00:00Z"), root_profile);
  IssuanceRequest request = PhoneRequest();
  request.subject = Name("CN=Sub");
  request.names = {};
  request.spki_der = TestKey(KeyAlgorithm::kEcdsaP256, 1).spki_der();
  auto permit = root.issuer->Prepare(CaProfile(), request);
  ASSERT_OK(permit);
  const auto certificate = root.issuer->Sign(*std::move(permit));
  ASSERT_OK(certificate);
  EXPECT_EQ(ParseCertificate(*certificate)->path_len, 0);

  Profile too_long = CaProfile();
  too_long.path_len = 1;
  EXPECT_REASON(root.issuer->Prepare(too_long, request), "CA_PATH_LENGTH");

  const auto sub = Issuer::Create(*certificate, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256, 1)), ca_.clock);
  ASSERT_OK(sub);
  request.subject = Name("CN=Too deep");
  EXPECT_REASON((*sub)->Prepare(CaProfile(), request), "CA_PATH_LENGTH");
  EXPECT_TRUE((*sub)->Prepare(LeafProfile(CertificateKind::kSpe), request).ok());
}

TEST_F(IssuerTest, SelfSignChecksItsInput) {
  const PrivateKey& key = TestKey(KeyAlgorithm::kEcdsaP256);
  const absl::Time begin = At("2026-01-01T00:00:00Z");
  const absl::Time end = At("2036-01-01T00:00:00Z");
  EXPECT_REASON(SelfSignCa(key, Name("C=US, O=x"), begin, end, CaProfile()), "DN_WITHOUT_CN");
  EXPECT_REASON(SelfSignCa(key, Name("CN=x"), end, begin, CaProfile()), "VALIDITY_ORDER");
  EXPECT_REASON(SelfSignCa(key, Name("CN=x"), begin, At("2038-01-20T00:00:00Z"), CaProfile()), "YEAR_2038");
  EXPECT_REASON(SelfSignCa(key, Name("CN=x"), begin, end, LeafProfile(CertificateKind::kSpe)),
                "PROFILE_INVALID");
  EXPECT_REASON(SelfSignCa(TestKey(KeyAlgorithm::kRsa1024), Name("CN=x"), begin, end, CaProfile()),
                "KEY_TOO_SHORT");
}

TEST_F(IssuerTest, IssuerNameIsRepeatedOctetForOctet) {
  // The CN as PrintableString, as other CAs write it.
  const auto printable = DistinguishedName::FromDer(
      {0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x13, 0x01, 0x78});
  ASSERT_OK(printable);
  const auto root = SelfSignCa(TestKey(KeyAlgorithm::kEcdsaP256), *printable, At("2026-01-01T00:00:00Z"),
                               At("2036-01-01T00:00:00Z"), CaProfile());
  ASSERT_OK(root);
  const auto issuer = Issuer::Create(*root, CopyOf(TestKey(KeyAlgorithm::kEcdsaP256)), ca_.clock);
  ASSERT_OK(issuer);
  auto permit = (*issuer)->Prepare(LeafProfile(CertificateKind::kSpe), PhoneRequest());
  ASSERT_OK(permit);
  const auto leaf = (*issuer)->Sign(*std::move(permit));
  ASSERT_OK(leaf);
  EXPECT_EQ(ParseCertificate(*leaf)->issuer_der, printable->ToDer());
}

// Whatever octet of a certificate is changed, lint finds it.
TEST_F(IssuerTest, LintFindsEveryChangedOctet) {
  const Profile profile = LeafProfile(CertificateKind::kSpe);
  const IssuanceRequest request = PhoneRequest();
  const base::Bytes der = Issue(profile, request);
  const base::Bytes serial = ParseCertificate(der)->serial;
  const LintExpectation expected{.profile = profile,
                                 .request = request,
                                 .serial = serial,
                                 .issuer_name_der = ca_.issuer->subject().der(),
                                 .issuer_key = ca_.issuer->private_key().get()};
  ASSERT_OK(LintCertificate(der, expected));
  for (std::size_t i = 0; i < der.size(); ++i) {
    base::Bytes changed = der;
    changed[i] ^= 0x01;
    EXPECT_EQ(LintCertificate(changed, expected).code(), absl::StatusCode::kInternal) << "octet " << i;
    changed.resize(i);
    EXPECT_FALSE(LintCertificate(changed, expected).ok()) << "cut at " << i;
  }
}

TEST_F(IssuerTest, LintFindsContentThatIsSignedButNotAskedFor) {
  const IssuanceRequest request = PhoneRequest();
  const Profile profile = LeafProfile(CertificateKind::kSpe);
  const base::Bytes der = Issue(profile, request);
  const base::Bytes serial = ParseCertificate(der)->serial;
  const auto lint = [&](const Profile& p, const IssuanceRequest& r, const base::Bytes& s) {
    return LintCertificate(der, {.profile = p,
                                 .request = r,
                                 .serial = s,
                                 .issuer_name_der = ca_.issuer->subject().der(),
                                 .issuer_key = ca_.issuer->private_key().get()});
  };
  ASSERT_OK(lint(profile, request, serial));
  EXPECT_FALSE(lint(LeafProfile(CertificateKind::kWbmServer), request, serial).ok());
  EXPECT_FALSE(lint(CaProfile(), request, serial).ok());
  Profile with_url = profile;
  with_url.crl_url = "http://x/y";
  EXPECT_FALSE(lint(with_url, request, serial).ok());
  Profile critical = profile;
  critical.key_usage_critical = true;
  EXPECT_FALSE(lint(critical, request, serial).ok());
  IssuanceRequest other = request;
  other.names = {};
  EXPECT_FALSE(lint(profile, other, serial).ok());
  other = request;
  other.not_after += absl::Seconds(1);
  EXPECT_FALSE(lint(profile, other, serial).ok());
  EXPECT_FALSE(lint(profile, request, {1, 2, 3}).ok());
}

TEST_F(IssuerTest, ThreadsShareAnIssuer) {
  std::vector<std::thread> threads;
  std::atomic<int> issued = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        auto permit = ca_.issuer->Prepare(LeafProfile(CertificateKind::kSpe), PhoneRequest());
        if (permit.ok() && ca_.issuer->Sign(*std::move(permit)).ok()) ++issued;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(issued, 200);
}

}  // namespace
}  // namespace phonepki::ca
