#include "ca/x509/key.h"

#include <thread>

#include "tests/ca/x509/x509_test_support.h"

namespace phonepki::ca {
namespace {

constexpr KeyAlgorithm kAll[] = {KeyAlgorithm::kRsa1024, KeyAlgorithm::kRsa2048,   KeyAlgorithm::kRsa3072,
                                 KeyAlgorithm::kRsa4096, KeyAlgorithm::kEcdsaP256, KeyAlgorithm::kEcdsaP384};

bool PassesOpenSslChecks(const PrivateKey& key) {
  const PkeyCtxPtr context(EVP_PKEY_CTX_new(key.get(), nullptr));
  return EVP_PKEY_check(context.get()) == 1 && EVP_PKEY_pairwise_check(context.get()) == 1;
}

TEST(KeyTest, AlgorithmNamesParseAndPrint) {
  for (const KeyAlgorithm algorithm : kAll) {
    const auto parsed = ParseKeyAlgorithm(PrintKeyAlgorithm(algorithm), "f");
    ASSERT_OK(parsed);
    EXPECT_EQ(*parsed, algorithm);
  }
  for (const char* name : {"", "rsa", "rsa512", "RSA2048", "rsa2047", "dsa", "ed25519"}) {
    EXPECT_REASON(ParseKeyAlgorithm(name, "key_algorithm"), "KEY_ALGORITHM_UNKNOWN");
  }
}

TEST(KeyTest, EveryAlgorithmIsSoundAndSurvivesPkcs8) {
  for (const KeyAlgorithm algorithm : kAll) {
    SCOPED_TRACE(PrintKeyAlgorithm(algorithm));
    const auto key = KeyGenerator(RsaGenerator::kNettle).Generate(algorithm);
    ASSERT_OK(key);
    EXPECT_EQ(key->algorithm(), algorithm);
    EXPECT_TRUE(PassesOpenSslChecks(*key));
    const auto der = key->ToPkcs8Der();
    ASSERT_OK(der);
    const auto again = PrivateKey::FromPkcs8Der(*der);
    ASSERT_OK(again);
    EXPECT_EQ(again->algorithm(), algorithm);
    EXPECT_EQ(again->spki_der(), key->spki_der());
    EXPECT_EQ(EVP_PKEY_eq(again->get(), key->get()), 1);
    EXPECT_TRUE(PassesOpenSslChecks(*again));
  }
}

TEST(KeyTest, ManyNettleKeysPassOpenSslsChecks) {
  for (int i = 0; i < 20; ++i) {
    const auto key = KeyGenerator(RsaGenerator::kNettle).Generate(KeyAlgorithm::kRsa2048);
    ASSERT_OK(key);
    EXPECT_TRUE(PassesOpenSslChecks(*key));
  }
}

TEST(KeyTest, OpenSslGeneratesToo) {
  const auto key = KeyGenerator(RsaGenerator::kOpenSsl).Generate(KeyAlgorithm::kRsa2048);
  ASSERT_OK(key);
  EXPECT_EQ(key->algorithm(), KeyAlgorithm::kRsa2048);
}

TEST(KeyTest, GeneratorIsThreadSafeAndKeysDiffer) {
  const KeyGenerator generator;
  std::vector<base::Bytes> keys(8);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < keys.size(); ++t) {
    threads.emplace_back([&, t] {
      auto key = generator.Generate(t % 2 == 0 ? KeyAlgorithm::kRsa1024 : KeyAlgorithm::kEcdsaP256);
      if (key.ok()) keys[t] = key->spki_der();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t a = 0; a < keys.size(); ++a) {
    EXPECT_FALSE(keys[a].empty());
    for (std::size_t b = 0; b < a; ++b) EXPECT_NE(keys[a], keys[b]);
  }
}

TEST(KeyTest, RefusesWhatIsNotASupportedKey) {
  EXPECT_REASON(PrivateKey::FromPkcs8Der(base::Secret("")), "KEY_MALFORMED");
  EXPECT_REASON(PrivateKey::FromPkcs8Der(base::Secret("not a key")), "KEY_MALFORMED");
  const auto der = testing::TestKey(KeyAlgorithm::kEcdsaP256).ToPkcs8Der();
  ASSERT_OK(der);
  EXPECT_REASON(PrivateKey::FromPkcs8Der(base::Secret(std::string(der->view()) + "x")), "KEY_MALFORMED");
  EXPECT_REASON(PrivateKey::FromPkcs8Der(base::Secret(der->view().substr(0, 40))), "KEY_MALFORMED");
  EXPECT_REASON(PrivateKey::FromPkey(PkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))),
                "KEY_UNSUPPORTED");
  EXPECT_REASON(PrivateKey::FromPkey(PkeyPtr(EVP_EC_gen("secp256k1"))), "KEY_UNSUPPORTED");
  EXPECT_REASON(PrivateKey::FromPkey(PkeyPtr(EVP_RSA_gen(1536))), "KEY_UNSUPPORTED");
}

}  // namespace
}  // namespace phonepki::ca
