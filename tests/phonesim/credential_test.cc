#include "phonesim/credential.h"

#include <memory>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

namespace phonesim {
namespace {

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* it) const { free(it); }
};
using Bio = std::unique_ptr<BIO, Free<BIO, BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Pkcs12 = std::unique_ptr<PKCS12, Free<PKCS12, PKCS12_free>>;

Bio Read(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// What a server would write; without a key when `with_key` is false.
std::string MakePkcs12(const Credential& credential, const char* passphrase, int encryption,
                       bool with_key = true) {
  const Certificate leaf(
      PEM_read_bio_X509(Read(credential.certificate_pem).get(), nullptr, nullptr, nullptr));
  const Key key(PEM_read_bio_PrivateKey(Read(credential.key_pem).get(), nullptr, nullptr, nullptr));
  const Pkcs12 file(PKCS12_create(passphrase, "phone", with_key ? key.get() : nullptr, leaf.get(), nullptr,
                                  encryption, encryption, 1000, 1000, 0));
  unsigned char* der = nullptr;
  const int size = i2d_PKCS12(file.get(), &der);
  std::string text(reinterpret_cast<char*>(der), size);
  OPENSSL_free(der);
  return text;
}

TEST(FactoryDefaultTest, HasAKeyAndANameThatTellsItApart) {
  const Credential made = MakeFactoryDefault();
  EXPECT_EQ(made.serial, "01");
  EXPECT_EQ(made.subject, "CN = factory default");
  EXPECT_EQ(made.issuer, made.subject);
  EXPECT_EQ(made.sha256.size(), 64u);
  EXPECT_NE(made.tls, nullptr);
  EXPECT_NE(made.sha256, MakeFactoryDefault().sha256);
}

TEST(OpenPkcs12Test, OpensOldAndNewEncryption) {
  const Credential made = MakeFactoryDefault();
  for (const int encryption : {NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_aes_256_cbc}) {
    for (const char* passphrase : {"", "secret"}) {
      const auto opened = OpenPkcs12(MakePkcs12(made, passphrase, encryption), passphrase);
      ASSERT_TRUE(opened.has_value()) << encryption << " " << passphrase;
      EXPECT_EQ(opened->sha256, made.sha256);
      EXPECT_EQ(opened->key_pem, made.key_pem);
    }
  }
}

TEST(OpenPkcs12Test, RefusesWrongPassphraseMissingKeyAndGarbage) {
  const Credential made = MakeFactoryDefault();
  EXPECT_FALSE(OpenPkcs12(MakePkcs12(made, "secret", NID_aes_256_cbc), "other").has_value());
  EXPECT_FALSE(OpenPkcs12(MakePkcs12(made, "", NID_aes_256_cbc, false), "").has_value());
  EXPECT_FALSE(OpenPkcs12("", "").has_value());
  EXPECT_FALSE(OpenPkcs12("not DER", "").has_value());
  const std::string whole = MakePkcs12(made, "", NID_aes_256_cbc);
  EXPECT_FALSE(OpenPkcs12(whole.substr(0, whole.size() / 2), "").has_value());
}

TEST(FromPemTest, ReadsWhatWasKept) {
  const Credential made = MakeFactoryDefault();
  const auto kept = FromPem(made.certificate_pem + made.key_pem, made.certificate_pem + made.key_pem);
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->sha256, made.sha256);
}

TEST(FromPemTest, RefusesAKeyOfAnotherCertificate) {
  const Credential made = MakeFactoryDefault(), other = MakeFactoryDefault();
  EXPECT_FALSE(FromPem(made.certificate_pem, other.key_pem).has_value());
  EXPECT_FALSE(FromPem("", "").has_value());
}

TEST(DecodeBase64Test, HandlesPaddingLineBreaksAndGarbage) {
  EXPECT_EQ(DecodeBase64("aGVsbG8="), "hello");
  EXPECT_EQ(DecodeBase64("aGVs\r\nbG8h IQ=="), "hello!!");
  EXPECT_EQ(DecodeBase64("YWJj"), "abc");
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("*"), "");
}

}  // namespace
}  // namespace phonesim
