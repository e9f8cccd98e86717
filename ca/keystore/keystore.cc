#include "ca/keystore/keystore.h"

#include <algorithm>
#include <memory>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::ca {
namespace {

struct CipherCtxFree {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, CipherCtxFree>;

constexpr std::uint8_t kMagic[] = {'P', 'K', 1};
constexpr std::size_t kMagicSize = sizeof kMagic;
constexpr std::size_t kIdSize = 8;
constexpr std::size_t kHeaderSize = kMagicSize + kIdSize;
constexpr std::size_t kNonceSize = 12;
constexpr std::size_t kTagSize = 16;
constexpr std::size_t kKeySize = 32;
constexpr std::size_t kSealSize = kNonceSize + kTagSize;
constexpr std::size_t kWrappedKeySize = kSealSize + kKeySize;
constexpr std::size_t kMaxSecretSize = 16 << 20;

// Fetched once: a fetch per call takes a process-wide lock.
const EVP_CIPHER* Aes256Gcm() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher;
}

absl::Status Failed(const char* what) {
  ERR_clear_error();
  return absl::InternalError(what);
}

// Appends nonce, ciphertext and tag to `out`.
absl::Status Seal(const base::Secret& key, const base::Bytes& associated, const base::Secret& plain,
                  base::Bytes* out) {
  std::uint8_t nonce[kNonceSize];
  const CipherCtxPtr context(EVP_CIPHER_CTX_new());
  int size = 0;
  if (context == nullptr || Aes256Gcm() == nullptr || RAND_bytes(nonce, sizeof nonce) != 1 ||
      EVP_EncryptInit_ex2(context.get(), Aes256Gcm(), key.data(), nonce, nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, associated.data(),
                        static_cast<int>(associated.size())) != 1) {
    return Failed("encrypting a secret failed");
  }
  const std::size_t start = out->size();
  out->resize(start + kSealSize + plain.size());
  std::uint8_t* const text = out->data() + start + kNonceSize;
  std::copy(nonce, nonce + kNonceSize, out->data() + start);
  if ((!plain.empty() &&
       EVP_EncryptUpdate(context.get(), text, &size, plain.data(), static_cast<int>(plain.size())) != 1) ||
      EVP_EncryptFinal_ex(context.get(), text + plain.size(), &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, text + plain.size()) != 1) {
    return Failed("encrypting a secret failed");
  }
  return absl::OkStatus();
}

// Undoes Seal. `sealed` has at least kSealSize octets.
absl::StatusOr<base::Secret> Open(const base::Secret& key, const base::Bytes& associated,
                                  const std::uint8_t* sealed, std::size_t sealed_size) {
  const std::size_t plain_size = sealed_size - kSealSize;
  const std::uint8_t* const text = sealed + kNonceSize;
  base::Bytes tag(text + plain_size, text + plain_size + kTagSize);
  base::Secret plain{base::Bytes(plain_size + 1)};  // one more, so that there is something to point to
  const CipherCtxPtr context(EVP_CIPHER_CTX_new());
  int size = 0;
  if (context == nullptr || Aes256Gcm() == nullptr ||
      EVP_DecryptInit_ex2(context.get(), Aes256Gcm(), key.data(), sealed, nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &size, associated.data(),
                        static_cast<int>(associated.size())) != 1 ||
      (plain_size > 0 && EVP_DecryptUpdate(context.get(), plain.mutable_data(), &size, text,
                                           static_cast<int>(plain_size)) != 1) ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, tag.data()) != 1) {
    return Failed("decrypting a secret failed");
  }
  if (EVP_DecryptFinal_ex(context.get(), plain.mutable_data() + plain_size, &size) != 1) {
    ERR_clear_error();
    return base::WithReason(
        absl::DataLossError(
            "an encrypted secret was changed, or belongs to something else; restore it from a backup"),
        "KEYSTORE_BLOB_REFUSED");
  }
  return base::Secret(plain.data(), plain_size);
}

base::Bytes Header(const base::Bytes& master_key_id) {
  base::Bytes header;
  header.reserve(kHeaderSize);
  header.insert(header.end(), kMagic, kMagic + kMagicSize);
  header.insert(header.end(), master_key_id.begin(), master_key_id.end());
  return header;
}

// What both layers authenticate beside their text; `layer` keeps one from passing for the other.
base::Bytes Associated(const base::Bytes& header, char layer, std::string_view purpose) {
  base::Bytes associated = header;
  associated.push_back(static_cast<std::uint8_t>(layer));
  associated.insert(associated.end(), purpose.begin(), purpose.end());
  return associated;
}

}  // namespace

Keystore::Keystore(MasterKey master_key) : master_key_(std::move(master_key)) {}

absl::StatusOr<base::Bytes> Keystore::Wrap(const base::Secret& secret, std::string_view purpose) const {
  if (purpose.empty()) return absl::InvalidArgumentError("a secret is wrapped for a purpose");
  if (secret.size() > kMaxSecretSize) return absl::InvalidArgumentError("a secret may have at most 16 MB");
  base::Secret data_key{base::Bytes(kKeySize)};
  if (RAND_priv_bytes(data_key.mutable_data(), static_cast<int>(kKeySize)) != 1) {
    return Failed("the random source failed while wrapping a secret");
  }
  const base::Bytes header = Header(master_key_.id_octets_);
  base::Bytes blob = header;
  blob.reserve(kHeaderSize + kWrappedKeySize + kSealSize + secret.size());
  RETURN_IF_ERROR(Seal(master_key_.octets_, Associated(header, 'K', purpose), data_key, &blob));
  RETURN_IF_ERROR(Seal(data_key, Associated(header, 'S', purpose), secret, &blob));
  return blob;
}

absl::StatusOr<base::Secret> Keystore::Unwrap(const base::Bytes& blob, std::string_view purpose) const {
  if (blob.size() < kHeaderSize + kWrappedKeySize + kSealSize || blob.size() > 2 * kMaxSecretSize ||
      !std::equal(kMagic, kMagic + kMagicSize, blob.begin())) {
    return base::WithReason(absl::InvalidArgumentError("this is not an encrypted secret of a known version"),
                            "KEYSTORE_BLOB_MALFORMED");
  }
  const base::Bytes header = Header(master_key_.id_octets_);
  if (!std::equal(header.begin(), header.end(), blob.begin())) {
    return base::WithReason(
        absl::FailedPreconditionError(
            "a secret was encrypted under another master key than the one configured (id " +
            master_key_.id() + ")"),
        "MASTER_KEY_UNKNOWN");
  }
  const std::uint8_t* const wrapped_key = blob.data() + kHeaderSize;
  const std::uint8_t* const sealed = wrapped_key + kWrappedKeySize;
  ASSIGN_OR_RETURN(const base::Secret data_key,
                   Open(master_key_.octets_, Associated(header, 'K', purpose), wrapped_key, kWrappedKeySize));
  return Open(data_key, Associated(header, 'S', purpose), sealed,
              blob.size() - kHeaderSize - kWrappedKeySize);
}

}  // namespace phonepki::ca
