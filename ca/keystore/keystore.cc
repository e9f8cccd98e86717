#include "ca/keystore/keystore.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

// version (1) | master key id (8) | nonce | wrapped data key | tag | nonce | ciphertext | tag
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kKeySize = 32, kNonceSize = 12, kTagSize = 16, kIdSize = 8;
constexpr std::size_t kHeaderSize = 1 + kIdSize;
constexpr std::size_t kWrappedKeySize = kNonceSize + kKeySize + kTagSize;

using CipherCtxPtr = OpenSslPtr<EVP_CIPHER_CTX, EVP_CIPHER_CTX_free>;

// Appends nonce | ciphertext | tag.
absl::Status Seal(const base::Secret& key, const base::Secret& plain, std::string_view associated, base::Bytes& out) {
  unsigned char nonce[kNonceSize];
  RAND_bytes(nonce, sizeof nonce);
  base::Bytes cipher(plain.size() + kTagSize);
  CipherCtxPtr context(EVP_CIPHER_CTX_new());
  int size = 0, tail = 0;
  const bool sealed =
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &size, reinterpret_cast<const unsigned char*>(associated.data()),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_EncryptUpdate(context.get(), cipher.data(), &size, plain.data(), static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), cipher.data() + size, &tail) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, cipher.data() + plain.size()) == 1;
  if (!sealed) return OpenSslError("encrypting a key");
  out.insert(out.end(), nonce, nonce + kNonceSize);
  out.insert(out.end(), cipher.begin(), cipher.end());
  return absl::OkStatus();
}

absl::StatusOr<base::Secret> Open(const base::Secret& key, const std::uint8_t* sealed, std::size_t size,
                                  std::string_view associated) {
  const std::size_t plain_size = size - kNonceSize - kTagSize;
  base::Bytes plain(plain_size);
  CipherCtxPtr context(EVP_CIPHER_CTX_new());
  int written = 0, tail = 0;
  const bool opened =
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), sealed) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &written, reinterpret_cast<const unsigned char*>(associated.data()),
                        static_cast<int>(associated.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), plain.data(), &written, sealed + kNonceSize, static_cast<int>(plain_size)) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagSize,
                          const_cast<std::uint8_t*>(sealed + kNonceSize + plain_size)) == 1 &&
      EVP_DecryptFinal_ex(context.get(), plain.data() + written, &tail) == 1;
  base::Secret secret(std::move(plain));
  if (!opened) {
    return base::WithReason(absl::DataLossError("an encrypted key was changed, or belongs to another record"),
                            "ENVELOPE_DAMAGED");
  }
  return secret;
}

absl::Status CreateFile(const std::string& path) {
  unsigned char octets[kKeySize];
  RAND_priv_bytes(octets, sizeof octets);
  std::string text =
      absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(octets), sizeof octets)) + "\n";
  base::WipeMemory(octets, sizeof octets);
  // Written beside and linked into place: whoever links first wins, nobody ever reads half a key.
  const std::string fresh = absl::StrCat(path, ".", getpid(), ".new");
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool written = file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                 fsync(file) == 0;
  base::WipeMemory(text.data(), text.size());
  if (file >= 0) close(file);
  if (written && link(fresh.c_str(), path.c_str()) != 0 && errno != EEXIST) written = false;
  const int error = errno;
  unlink(fresh.c_str());
  if (!written) return absl::InternalError(absl::StrCat("cannot write ", path, ": ", strerror(error)));
  return absl::OkStatus();
}

}  // namespace

MasterKey::MasterKey(base::Secret key) : key_(std::move(key)), id_(SHA256_DIGEST_LENGTH) {
  SHA256(key_.data(), key_.size(), id_.data());
  id_.resize(kIdSize);
}

absl::StatusOr<MasterKey> MasterKey::LoadOrCreate(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) RETURN_IF_ERROR(CreateFile(path));
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts {};
  if (file < 0 || fstat(file, &facts) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("cannot read the master key ", path, ": ", strerror(errno)));
  }
  std::string text(256, '\0');
  const ssize_t size = read(file, text.data(), text.size());
  close(file);
  text.resize(std::max<ssize_t>(size, 0));
  std::string octets;
  const bool decoded = absl::Base64Unescape(absl::StripAsciiWhitespace(text), &octets) && octets.size() == kKeySize;
  base::Secret key{std::string_view(octets)};
  base::WipeMemory(octets.data(), octets.size());
  base::WipeMemory(text.data(), text.size());
  if ((facts.st_mode & 077) != 0) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat("the master key ", path, " is open to others: run `chmod 600 ",
                                                   path, "`")),
        "MASTER_KEY_PERMISSIONS");
  }
  if (!decoded) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat("the master key ", path, " must be 32 octets in base64")),
        "MASTER_KEY_MALFORMED");
  }
  return MasterKey(std::move(key));
}

absl::StatusOr<base::Bytes> Keystore::Wrap(const base::Secret& secret, std::string_view purpose) const {
  base::Bytes random(kKeySize);
  RAND_priv_bytes(random.data(), static_cast<int>(random.size()));
  const base::Secret data_key(std::move(random));
  base::Bytes envelope{kVersion};
  envelope.insert(envelope.end(), master_.id().begin(), master_.id().end());
  RETURN_IF_ERROR(Seal(master_.key(), data_key, purpose, envelope));
  RETURN_IF_ERROR(Seal(data_key, secret, purpose, envelope));
  return envelope;
}

absl::StatusOr<base::Secret> Keystore::Unwrap(const base::Bytes& envelope, std::string_view purpose) const {
  if (envelope.size() < kHeaderSize + kWrappedKeySize + kNonceSize + kTagSize || envelope[0] != kVersion) {
    return base::WithReason(absl::DataLossError("an encrypted key is damaged"), "ENVELOPE_DAMAGED");
  }
  if (!std::equal(master_.id().begin(), master_.id().end(), envelope.begin() + 1)) {
    return base::WithReason(
        absl::FailedPreconditionError("a key was encrypted under another master key: give the server the master key "
                                      "file that belongs to this database"),
        "WRONG_MASTER_KEY");
  }
  const std::uint8_t* wrapped_key = envelope.data() + kHeaderSize;
  ASSIGN_OR_RETURN(base::Secret data_key, Open(master_.key(), wrapped_key, kWrappedKeySize, purpose));
  const std::size_t offset = kHeaderSize + kWrappedKeySize;
  return Open(data_key, envelope.data() + offset, envelope.size() - offset, purpose);
}

}  // namespace phonepki::ca
