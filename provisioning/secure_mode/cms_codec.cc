#include "provisioning/secure_mode/cms_codec.h"

#include <algorithm>
#include <cstdint>

#include <absl/strings/escaping.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/der_writer.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::provisioning {
namespace {

namespace der = ca::der;
using base::Bytes;

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kBlockSize = 16;
constexpr std::size_t kSaltSize = 16;
// Length, three check octets, the key, and padding up to a block (RFC 3211 section 2.3.1).
constexpr std::size_t kWrappedSize = 48;

absl::StatusOr<Bytes> RandomOctets(std::size_t size) {
  Bytes octets(size);
  if (RAND_bytes(octets.data(), static_cast<int>(size)) != 1) return ca::OpenSslError("random octets");
  return octets;
}

absl::StatusOr<base::Secret> DeriveKey(const base::Secret& password, const Bytes& salt, int iterations) {
  base::Secret key{Bytes(kKeySize)};
  if (PKCS5_PBKDF2_HMAC(password.view().data(), static_cast<int>(password.size()), salt.data(),
                        static_cast<int>(salt.size()), iterations, EVP_sha256(), static_cast<int>(kKeySize),
                        key.mutable_data()) != 1) {
    return ca::OpenSslError("deriving a key from a PIN");
  }
  return key;
}

// AES-256-CBC.
absl::StatusOr<Bytes> Encrypt(const base::Secret& key, const Bytes& iv, bool padding,
                              const base::Secret& plain) {
  const ca::CipherCtxPtr context(EVP_CIPHER_CTX_new());
  Bytes out(plain.size() + kBlockSize);
  int body = 0;
  int rest = 0;
  if (context == nullptr ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key.data(), iv.data()) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), padding ? 1 : 0) != 1 ||
      EVP_EncryptUpdate(context.get(), out.data(), &body, plain.data(), static_cast<int>(plain.size())) !=
          1 ||
      EVP_EncryptFinal_ex(context.get(), out.data() + body, &rest) != 1) {
    return ca::OpenSslError("encrypting secure-mode-data");
  }
  out.resize(static_cast<std::size_t>(body + rest));
  return out;
}

// RFC 3211 section 2.3.1: encrypted twice, the second time with the last block of the first as initialisation
// vector, so that every octet depends on every other.
absl::StatusOr<Bytes> WrapKey(const base::Secret& wrapping_key, const Bytes& iv, const base::Secret& key) {
  ASSIGN_OR_RETURN(Bytes random, RandomOctets(kWrappedSize));
  base::Secret block(std::move(random));
  block.mutable_data()[0] = static_cast<std::uint8_t>(kKeySize);
  for (int i = 0; i < 3; ++i) block.mutable_data()[1 + i] = static_cast<std::uint8_t>(~key.data()[i]);
  std::copy(key.data(), key.data() + kKeySize, block.mutable_data() + 4);
  ASSIGN_OR_RETURN(Bytes once, Encrypt(wrapping_key, iv, /*padding=*/false, block));
  const Bytes second_iv(once.end() - kBlockSize, once.end());
  return Encrypt(wrapping_key, second_iv, /*padding=*/false, base::Secret(std::move(once)));
}

Bytes Algorithm(std::string_view oid, const Bytes& parameters) {
  return der::Tlv(der::kSequence, {der::KnownOid(oid), parameters});
}

Bytes Aes256Cbc(const Bytes& iv) {
  return Algorithm("2.16.840.1.101.3.4.1.42", der::Tlv(der::kOctetString, iv));
}

Bytes BigEndian(int value) {
  Bytes octets;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (value >> shift != 0) octets.push_back(static_cast<std::uint8_t>(value >> shift));
  }
  return octets;
}

// The content of the [0] IMPLICIT AlgorithmIdentifier.
Bytes KeyDerivation(const Bytes& salt, int iterations) {
  const Bytes hmac_sha256 = Algorithm("1.2.840.113549.2.9", der::Tlv(der::kNull, Bytes()));
  const Bytes parameters =
      der::Tlv(der::kSequence,
               {der::Tlv(der::kOctetString, salt), der::UnsignedInteger(BigEndian(iterations)), hmac_sha256});
  return der::Tlv(der::Constructed(0), {der::KnownOid("1.2.840.113549.1.5.12"), parameters});
}

}  // namespace

absl::StatusOr<std::string> CmsCodec::Seal(const std::vector<SecureModeItem>& items,
                                           const base::Secret& password) const {
  ERR_clear_error();
  if (password.empty()) {
    return base::InvalidField("password", "PASSWORD_EMPTY", "the PIN is too short to encrypt with");
  }
  ASSIGN_OR_RETURN(const base::Secret plain, PrintItemList(items));
  ASSIGN_OR_RETURN(Bytes random_key, RandomOctets(kKeySize));
  const base::Secret content_key(std::move(random_key));
  ASSIGN_OR_RETURN(const Bytes salt, RandomOctets(kSaltSize));
  ASSIGN_OR_RETURN(const Bytes key_iv, RandomOctets(kBlockSize));
  ASSIGN_OR_RETURN(const Bytes content_iv, RandomOctets(kBlockSize));
  ASSIGN_OR_RETURN(const base::Secret wrapping_key, DeriveKey(password, salt, iterations_));
  ASSIGN_OR_RETURN(const Bytes wrapped_key, WrapKey(wrapping_key, key_iv, content_key));
  ASSIGN_OR_RETURN(const Bytes encrypted, Encrypt(content_key, content_iv, /*padding=*/true, plain));

  const Bytes recipient = der::Tlv(  // PasswordRecipientInfo, RFC 5652 section 6.2.4
      der::Constructed(3),
      {der::SmallInteger(0), KeyDerivation(salt, iterations_),
       Algorithm("1.2.840.113549.1.9.16.3.9", Aes256Cbc(key_iv)), der::Tlv(der::kOctetString, wrapped_key)});
  const Bytes content = der::Tlv(
      der::kSequence,
      {der::KnownOid("1.2.840.113549.1.7.1"), Aes256Cbc(content_iv), der::Tlv(der::Primitive(0), encrypted)});
  // Version 3, because of the password recipient (RFC 5652 section 6.1).
  const Bytes enveloped =
      der::Tlv(der::kSequence, {der::SmallInteger(3), der::Tlv(der::kSet, recipient), content});
  const Bytes message = der::Tlv(
      der::kSequence, {der::KnownOid("1.2.840.113549.1.7.3"), der::Tlv(der::Constructed(0), enveloped)});
  std::string base64 = absl::Base64Escape({reinterpret_cast<const char*>(message.data()), message.size()});
  if (base64.size() > kMaxSecureModeData) return SecureModeDataTooLarge();
  return base64;
}

}  // namespace phonepki::provisioning
