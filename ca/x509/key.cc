#include "ca/x509/key.h"

#include <gmp.h>
#include <nettle/rsa.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

constexpr struct {
  KeyAlgorithm algorithm;
  const char* name;
  int rsa_bits;
} kAlgorithms[] = {{KeyAlgorithm::kRsa1024, "rsa1024", 1024},      {KeyAlgorithm::kRsa2048, "rsa2048", 2048},
                   {KeyAlgorithm::kRsa3072, "rsa3072", 3072},      {KeyAlgorithm::kRsa4096, "rsa4096", 4096},
                   {KeyAlgorithm::kEcdsaP256, "ecdsa-p256", 0},    {KeyAlgorithm::kEcdsaP384, "ecdsa-p384", 0}};

using ParamBuilderPtr = OpenSslPtr<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamsPtr = OpenSslPtr<OSSL_PARAM, OSSL_PARAM_free>;

base::Bytes EncodePublicKey(EVP_PKEY* key) {
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(key, &out);
  base::Bytes der(out, out + std::max(size, 0));
  OPENSSL_free(out);
  return der;
}

void FillRandom(void* failed, std::size_t size, std::uint8_t* out) {
  if (RAND_priv_bytes(out, static_cast<int>(size)) != 1) *static_cast<bool*>(failed) = true;
}

BignumPtr ToBignum(const mpz_t value) {
  base::Bytes octets((mpz_sizeinbase(value, 2) + 7) / 8);
  std::size_t count = 0;
  mpz_export(octets.data(), &count, 1, 1, 1, 0, value);
  BignumPtr number(BN_bin2bn(octets.data(), static_cast<int>(count), nullptr));
  base::WipeMemory(octets.data(), octets.size());
  return number;
}

void WipeNumber(mpz_t value) {
  base::WipeMemory(mpz_limbs_modify(value, static_cast<mp_size_t>(mpz_size(value))),
                   mpz_size(value) * sizeof(mp_limb_t));
}

absl::StatusOr<PkeyPtr> FromNumbers(const rsa_public_key& pub, const rsa_private_key& key) {
  const struct {
    const char* name;
    BignumPtr value;
  } numbers[] = {{OSSL_PKEY_PARAM_RSA_N, ToBignum(pub.n)},
                 {OSSL_PKEY_PARAM_RSA_E, ToBignum(pub.e)},
                 {OSSL_PKEY_PARAM_RSA_D, ToBignum(key.d)},
                 {OSSL_PKEY_PARAM_RSA_FACTOR1, ToBignum(key.p)},
                 {OSSL_PKEY_PARAM_RSA_FACTOR2, ToBignum(key.q)},
                 {OSSL_PKEY_PARAM_RSA_EXPONENT1, ToBignum(key.a)},
                 {OSSL_PKEY_PARAM_RSA_EXPONENT2, ToBignum(key.b)},
                 {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, ToBignum(key.c)}};
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  for (const auto& number : numbers) OSSL_PARAM_BLD_push_BN(builder.get(), number.name, number.value.get());
  ParamsPtr params(OSSL_PARAM_BLD_to_param(builder.get()));
  PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (!params || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_KEYPAIR, params.get()) != 1) {
    return OpenSslError("taking over an RSA key");
  }
  return PkeyPtr(made);
}

absl::StatusOr<PkeyPtr> GenerateRsaWithNettle(int bits) {
  rsa_public_key pub;
  rsa_private_key key;
  rsa_public_key_init(&pub);
  rsa_private_key_init(&key);
  mpz_set_ui(pub.e, 65537);
  bool failed = false;
  const bool made = rsa_generate_keypair(&pub, &key, &failed, FillRandom, nullptr, nullptr, bits, 0) == 1 && !failed;
  absl::StatusOr<PkeyPtr> pkey =
      made ? FromNumbers(pub, key) : absl::StatusOr<PkeyPtr>(absl::InternalError("RSA key generation failed"));
  for (mpz_ptr number : {key.d, key.p, key.q, key.a, key.b, key.c}) WipeNumber(number);
  rsa_private_key_clear(&key);
  rsa_public_key_clear(&pub);
  return pkey;
}

}  // namespace

absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(const std::string& name, const std::string& field) {
  for (const auto& known : kAlgorithms) {
    if (name == known.name) return known.algorithm;
  }
  return base::InvalidField(field, "KEY_ALGORITHM",
                            absl::StrCat("\"", name, "\" is not one of rsa2048, rsa3072, rsa4096, ecdsa-p256, "
                                         "ecdsa-p384 (rsa1024 for legacy)"));
}

std::string PrintKeyAlgorithm(KeyAlgorithm algorithm) { return kAlgorithms[static_cast<int>(algorithm)].name; }

absl::StatusOr<KeyAlgorithm> AlgorithmOf(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) {
    for (const auto& known : kAlgorithms) {
      if (known.rsa_bits != 0 && EVP_PKEY_get_bits(key) == known.rsa_bits) return known.algorithm;
    }
  }
  char group[64] = {};
  if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1) {
    const int nid = OBJ_sn2nid(group);
    if (nid == NID_X9_62_prime256v1) return KeyAlgorithm::kEcdsaP256;
    if (nid == NID_secp384r1) return KeyAlgorithm::kEcdsaP384;
  }
  return base::WithReason(absl::InvalidArgumentError("the key is none of RSA 1024/2048/3072/4096, P-256, P-384"),
                          "KEY_ALGORITHM");
}

absl::StatusOr<PrivateKey> PrivateKey::FromPkey(PkeyPtr key) {
  ASSIGN_OR_RETURN(KeyAlgorithm algorithm, AlgorithmOf(key.get()));
  base::Bytes spki = EncodePublicKey(key.get());
  return PrivateKey(std::move(key), algorithm, std::move(spki));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPkcs8Der(const base::Secret& der) {
  ERR_clear_error();
  const unsigned char* at = der.data();
  Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  PkeyPtr key(info ? EVP_PKCS82PKEY(info.get()) : nullptr);
  if (!key) return OpenSslError("reading a private key");
  return FromPkey(std::move(key));
}

absl::StatusOr<base::Secret> PrivateKey::ToPkcs8Der() const {
  ERR_clear_error();
  Pkcs8Ptr info(EVP_PKEY2PKCS8(key_.get()));
  unsigned char* out = nullptr;
  const int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info.get(), &out) : -1;
  if (size <= 0) return OpenSslError("encoding a private key");
  base::Secret der(out, size);
  OPENSSL_clear_free(out, size);
  return der;
}

absl::StatusOr<base::Secret> PrivateKey::ToPem() const {
  ERR_clear_error();
  BioPtr bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslError("writing a private key");
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return base::Secret(reinterpret_cast<std::uint8_t*>(data), size);
}

absl::StatusOr<PrivateKey> KeyGenerator::Generate(KeyAlgorithm algorithm) const {
  ERR_clear_error();
  const int bits = kAlgorithms[static_cast<int>(algorithm)].rsa_bits;
  if (bits != 0 && rsa_ == RsaGenerator::kNettle) {
    ASSIGN_OR_RETURN(PkeyPtr key, GenerateRsaWithNettle(bits));
    return PrivateKey::FromPkey(std::move(key));
  }
  PkeyPtr key(bits != 0 ? EVP_RSA_gen(bits) : EVP_EC_gen(algorithm == KeyAlgorithm::kEcdsaP256 ? "P-256" : "P-384"));
  if (!key) return OpenSslError("generating a key");
  return PrivateKey::FromPkey(std::move(key));
}

}  // namespace phonepki::ca
