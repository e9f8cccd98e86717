#include "ca/x509/certificate.h"

#include <random>

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

using testing::At;
using testing::Name;
using testing::TestCa;
using testing::TestKey;

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest()
      : root_(KeyAlgorithm::kEcdsaP256, "CN=Root", At("2025-01-01T00:00:00Z"), At("2035-01-01T00:00:00Z"),
              At("2026-01-01T00:00:00Z")) {
    sub_certificate_ = Issue(*root_.issuer, CaProfile(), "CN=Sub", KeyAlgorithm::kEcdsaP384);
    sub_ = *Issuer::Create(sub_certificate_, testing::CopyOf(TestKey(KeyAlgorithm::kEcdsaP384)), root_.clock);
    leaf_ = Issue(*sub_, LeafProfile(CertificateKind::kSpe), "CN=leaf", KeyAlgorithm::kEcdsaP256);
  }

  static base::Bytes Issue(const Issuer& issuer, const Profile& profile, const std::string& subject,
                           KeyAlgorithm algorithm) {
    IssuanceRequest request;
    request.subject = Name(subject);
    request.spki_der = TestKey(algorithm).spki_der();
    request.not_before = At("2026-01-01T00:00:00Z");
    request.not_after = At("2030-01-01T00:00:00Z");
    auto permit = issuer.Prepare(profile, request);
    EXPECT_TRUE(permit.ok()) << permit.status();
    auto der = issuer.Sign(*std::move(permit));
    EXPECT_TRUE(der.ok()) << der.status();
    return *std::move(der);
  }

  TestCa root_;
  base::Bytes sub_certificate_;
  std::unique_ptr<Issuer> sub_;
  base::Bytes leaf_;
};

TEST_F(CertificateTest, ChainsAreValidated) {
  const absl::Time at = At("2027-01-01T00:00:00Z");
  const std::vector<base::Bytes> roots = {root_.certificate};
  ASSERT_OK(VerifyChain(leaf_, {sub_certificate_}, roots, at));
  ASSERT_OK(VerifyChain(sub_certificate_, {}, roots, at));
  ASSERT_OK(VerifyChain(root_.certificate, {}, roots, at));
  EXPECT_REASON(VerifyChain(leaf_, {}, roots, at), "CHAIN_INVALID");
  EXPECT_REASON(VerifyChain(leaf_, {sub_certificate_}, {}, at), "CHAIN_INVALID");
  EXPECT_REASON(VerifyChain(leaf_, {sub_certificate_}, roots, At("2030-01-01T00:00:01Z")), "CHAIN_INVALID");
  EXPECT_REASON(VerifyChain(leaf_, {sub_certificate_}, roots, At("2025-12-31T23:59:59Z")), "CHAIN_INVALID");
  EXPECT_REASON(VerifyChain({1, 2}, {}, roots, at), "CERTIFICATE_MALFORMED");
  // The middle of the chain is no trust anchor.
  EXPECT_REASON(VerifyChain(leaf_, {}, {sub_certificate_}, at), "CHAIN_INVALID");
  const TestCa stranger(KeyAlgorithm::kEcdsaP384, "CN=Root", At("2025-01-01T00:00:00Z"),
                        At("2035-01-01T00:00:00Z"), At("2026-01-01T00:00:00Z"));
  EXPECT_REASON(VerifyChain(leaf_, {sub_certificate_}, {stranger.certificate}, at), "CHAIN_INVALID");
}

TEST_F(CertificateTest, ParsesItsFields) {
  const auto info = ParseCertificate(leaf_);
  ASSERT_OK(info);
  EXPECT_EQ(info->subject, "CN=leaf");
  EXPECT_EQ(info->issuer, "CN=Sub");
  EXPECT_EQ(info->spki_der, TestKey(KeyAlgorithm::kEcdsaP256).spki_der());
  EXPECT_EQ(info->spki_sha256, Sha256(info->spki_der));
  EXPECT_EQ(info->sha256, Sha256(leaf_));
  EXPECT_EQ(info->sha1.size(), 20u);
  EXPECT_EQ(info->signature_algorithm, "ecdsa-with-SHA256");
  EXPECT_EQ(info->aki, ParseCertificate(sub_certificate_)->ski);
  EXPECT_EQ(HexLower({0x00, 0xab, 0x1f}), "00ab1f");
}

TEST_F(CertificateTest, RefusesMoreOrLessThanOneCertificate) {
  EXPECT_REASON(ParseCertificate({}), "CERTIFICATE_MALFORMED");
  base::Bytes two = leaf_;
  two.insert(two.end(), leaf_.begin(), leaf_.end());
  EXPECT_REASON(ParseCertificate(two), "CERTIFICATE_MALFORMED");
  base::Bytes cut(leaf_.begin(), leaf_.end() - 1);
  EXPECT_REASON(ParseCertificate(cut), "CERTIFICATE_MALFORMED");
}

TEST_F(CertificateTest, DamagedCertificatesNeverCrash) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    base::Bytes der = leaf_;
    for (unsigned i = 0, n = 1 + random() % 4; i < n; ++i)
      der[random() % der.size()] = static_cast<std::uint8_t>(random());
    (void)ParseCertificate(der);
  }
}

TEST_F(CertificateTest, PemIsPlainAndReadsBack) {
  const std::string pem = ToPem(leaf_);
  EXPECT_EQ(pem.rfind("-----BEGIN CERTIFICATE-----\n", 0), 0u);
  EXPECT_TRUE(pem.ends_with("\n-----END CERTIFICATE-----\n"));
  EXPECT_EQ(pem.find('\r'), std::string::npos);
  EXPECT_EQ(pem.find("\n\n"), std::string::npos);
  const auto key_pem = PrivateKeyToPem(TestKey(KeyAlgorithm::kEcdsaP256));
  ASSERT_OK(key_pem);
  EXPECT_EQ(key_pem->view().substr(0, 28), "-----BEGIN PRIVATE KEY-----\n");

  const auto parsed = ParsePemCertificates("text before\n" + pem + std::string(key_pem->view()) + "\r\n" +
                                           ToPem(root_.certificate) + "text after\n");
  ASSERT_OK(parsed);
  EXPECT_EQ(*parsed, (std::vector<base::Bytes>{leaf_, root_.certificate}));
  EXPECT_REASON(ParsePemCertificates(""), "NO_CERTIFICATE");
  EXPECT_REASON(ParsePemCertificates(key_pem->view()), "NO_CERTIFICATE");
  EXPECT_REASON(ParsePemCertificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                "CERTIFICATE_MALFORMED");
  EXPECT_REASON(ParsePemCertificates(pem + "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
                "CERTIFICATE_MALFORMED");
}

}  // namespace
}  // namespace phonepki::ca
