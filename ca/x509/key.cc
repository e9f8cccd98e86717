#include "ca/x509/key.h"

#include <absl/strings/str_cat.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/der_reader.h"
#include "ca/x509/openssl_error.h"

namespace phonepki::ca {
namespace {

using EcGroupPtr = OpenSslPtr<EC_GROUP, EC_GROUP_free>;
using EcPointPtr = OpenSslPtr<EC_POINT, EC_POINT_free>;

struct NamedAlgorithm {
  KeyAlgorithm algorithm;
  const char* name;
};
constexpr NamedAlgorithm kAlgorithms[] = {
    {KeyAlgorithm::kRsa1024, "rsa1024"},      {KeyAlgorithm::kRsa2048, "rsa2048"},
    {KeyAlgorithm::kRsa3072, "rsa3072"},      {KeyAlgorithm::kRsa4096, "rsa4096"},
    {KeyAlgorithm::kEcdsaP256, "ecdsa-p256"}, {KeyAlgorithm::kEcdsaP384, "ecdsa-p384"},
};

absl::Status Unsupported(const std::string& what) {
  return base::InvalidField("public_key", "KEY_UNSUPPORTED",
                            absl::StrCat(what,
                                         "; supported are RSA of 1024, 2048, 3072 and 4096 bits and ECDSA on "
                                         "P-256 and P-384"));
}

// Bits of a positive DER integer's content; 0 if it is negative, zero or not minimal.
std::size_t IntegerBits(const DerReader& content) {
  if (content.AtEnd() || (content.data()[0] & 0x80) != 0) return 0;
  std::size_t start = 0;
  if (content.data()[0] == 0) {
    start = 1;
    if (content.size() < 2 || (content.data()[1] & 0x80) == 0) return 0;
  }
  std::size_t bits = (content.size() - start) * 8;
  for (std::uint8_t mask = 0x80; (content.data()[start] & mask) == 0;
       mask = static_cast<std::uint8_t>(mask >> 1))
    --bits;
  return bits;
}

absl::StatusOr<KeyAlgorithm> RsaAlgorithm(DerReader key) {
  DerReader sequence;
  DerReader modulus;
  DerReader exponent;
  if (!key.Read(0x30, &sequence) || !key.AtEnd() || !sequence.Read(0x02, &modulus) ||
      !sequence.Read(0x02, &exponent) || !sequence.AtEnd()) {
    return Unsupported("the RSA public key is malformed");
  }
  const std::size_t bits = IntegerBits(modulus);
  const std::size_t exponent_bits = IntegerBits(exponent);
  if (exponent_bits < 17 || exponent_bits > 64 || (exponent.data()[exponent.size() - 1] & 1) == 0 ||
      bits == 0 || (modulus.data()[modulus.size() - 1] & 1) == 0) {
    return Unsupported("the RSA modulus is even or the exponent is even or under 65537");
  }
  switch (bits) {
    case 1024:
      return KeyAlgorithm::kRsa1024;
    case 2048:
      return KeyAlgorithm::kRsa2048;
    case 3072:
      return KeyAlgorithm::kRsa3072;
    case 4096:
      return KeyAlgorithm::kRsa4096;
    default:
      return Unsupported(absl::StrCat("RSA of ", bits, " bits"));
  }
}

absl::StatusOr<KeyAlgorithm> EcAlgorithm(const std::string& curve, const DerReader& point) {
  static const EC_GROUP* const p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  static const EC_GROUP* const p384 = EC_GROUP_new_by_curve_name(NID_secp384r1);
  const bool is_p256 = curve == "1.2.840.10045.3.1.7";
  if (!is_p256 && curve != "1.3.132.0.34") return Unsupported(absl::StrCat("the elliptic curve ", curve));
  const EC_GROUP* const group = is_p256 ? p256 : p384;
  const std::size_t size = is_p256 ? 65 : 97;
  if (point.size() != size || point.data()[0] != 0x04)
    return Unsupported("an elliptic point that is not uncompressed");
  ERR_clear_error();
  const EcPointPtr parsed(EC_POINT_new(group));
  if (parsed == nullptr ||
      EC_POINT_oct2point(group, parsed.get(), point.data(), point.size(), nullptr) != 1) {
    ERR_clear_error();
    return Unsupported("an elliptic point that is not on its curve");
  }
  return is_p256 ? KeyAlgorithm::kEcdsaP256 : KeyAlgorithm::kEcdsaP384;
}

}  // namespace

absl::StatusOr<KeyAlgorithm> ParseKeyAlgorithm(std::string_view name, const std::string& field) {
  for (const auto& [algorithm, known] : kAlgorithms) {
    if (name == known) return algorithm;
  }
  return base::InvalidField(
      field, "KEY_ALGORITHM_UNKNOWN",
      absl::StrCat("unknown key algorithm \"", base::ToAbsl(name.substr(0, 40)),
                   "\"; use rsa2048, rsa3072, rsa4096, ecdsa-p256, ecdsa-p384 or rsa1024"));
}

std::string PrintKeyAlgorithm(KeyAlgorithm algorithm) {
  for (const auto& [known, name] : kAlgorithms) {
    if (known == algorithm) return name;
  }
  return "unknown";
}

bool IsRsa(KeyAlgorithm algorithm) {
  return algorithm != KeyAlgorithm::kEcdsaP256 && algorithm != KeyAlgorithm::kEcdsaP384;
}

absl::StatusOr<KeyAlgorithm> AlgorithmOfSpki(const base::Bytes& spki_der) {
  DerReader outer(spki_der);
  DerReader spki;
  DerReader algorithm;
  DerReader bits;
  std::string oid;
  if (!outer.Read(0x30, &spki) || !outer.AtEnd() || !spki.Read(0x30, &algorithm) || !spki.Read(0x03, &bits) ||
      !spki.AtEnd() || !algorithm.ReadOid(&oid) || bits.AtEnd() || bits.data()[0] != 0) {
    return Unsupported("the public key is malformed");
  }
  const DerReader key(bits.data() + 1, bits.size() - 1);
  if (oid == "1.2.840.113549.1.1.1") {
    DerReader null;
    if (!algorithm.Read(0x05, &null) || !null.AtEnd() || !algorithm.AtEnd()) {
      return Unsupported("the RSA public key has parameters");
    }
    return RsaAlgorithm(key);
  }
  if (oid == "1.2.840.10045.2.1") {
    std::string curve;
    if (!algorithm.ReadOid(&curve) || !algorithm.AtEnd())
      return Unsupported("an elliptic key without a named curve");
    return EcAlgorithm(curve, key);
  }
  return Unsupported(absl::StrCat("the key algorithm ", oid));
}

PrivateKey::PrivateKey(PkeyPtr key, base::Bytes spki_der, KeyAlgorithm algorithm)
    : key_(std::move(key)), spki_der_(std::move(spki_der)), algorithm_(algorithm) {}

absl::StatusOr<PrivateKey> PrivateKey::FromPkey(PkeyPtr key) {
  ERR_clear_error();
  unsigned char* encoded = nullptr;
  const int size = i2d_PUBKEY(key.get(), &encoded);
  if (size <= 0) return OpenSslError("encoding a public key");
  base::Bytes spki(encoded, encoded + size);
  OPENSSL_free(encoded);
  ASSIGN_OR_RETURN(const KeyAlgorithm algorithm, AlgorithmOfSpki(spki));
  return PrivateKey(std::move(key), std::move(spki), algorithm);
}

absl::StatusOr<PrivateKey> PrivateKey::FromPkcs8Der(const base::Secret& der) {
  const auto malformed = [] {
    ERR_clear_error();
    return base::WithReason(absl::InvalidArgumentError("the octets are not a PKCS#8 private key"),
                            "KEY_MALFORMED");
  };
  ERR_clear_error();
  if (der.size() > kMaxKeySize) return malformed();
  const unsigned char* next = der.data();
  const Pkcs8Ptr info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &next, static_cast<long>(der.size())));
  if (info == nullptr || next != der.data() + der.size()) return malformed();
  // Of other algorithms some compute the public half at once, with numbers of the file's choice.
  const ASN1_OBJECT* algorithm = nullptr;
  if (PKCS8_pkey_get0(&algorithm, nullptr, nullptr, nullptr, info.get()) != 1) return malformed();
  const int type = OBJ_obj2nid(algorithm);
  if (type != NID_rsaEncryption && type != NID_X9_62_id_ecPublicKey) {
    return Unsupported(absl::StrCat("the key algorithm ", OBJ_nid2ln(type)));
  }
  PkeyPtr key(EVP_PKCS82PKEY(info.get()));
  if (key == nullptr) return malformed();
  return FromPkey(std::move(key));
}

absl::StatusOr<base::Secret> PrivateKey::ToPkcs8Der() const {
  ERR_clear_error();
  const Pkcs8Ptr info(EVP_PKEY2PKCS8(key_.get()));
  if (info == nullptr) return OpenSslError("converting a private key to PKCS#8");
  unsigned char* encoded = nullptr;
  const int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &encoded);
  if (size <= 0) return OpenSslError("encoding a private key");
  base::Secret secret(encoded, static_cast<std::size_t>(size));
  OPENSSL_clear_free(encoded, static_cast<std::size_t>(size));
  return secret;
}

}  // namespace phonepki::ca
