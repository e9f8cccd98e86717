#include <cerrno>
#include <cstring>
#include <string>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/keystore/keystore.h"

namespace phonepki::ca {
namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kBase64Size = 44;
constexpr std::size_t kIdSize = 8;
constexpr std::size_t kMaxFileSize = 256;

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  ~FileDescriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

absl::Status IoError(const std::string& what, const std::string& path) {
  return base::WithReason(
      absl::UnavailableError(absl::StrCat(what, " the master key file ", path, ": ", std::strerror(errno))),
      "MASTER_KEY_IO");
}

absl::Status Malformed(const std::string& path) {
  return base::WithReason(
      absl::FailedPreconditionError(
          absl::StrCat(path,
                       " does not hold a master key: 32 octets in base64 are expected. If it was "
                       "damaged, restore it from a backup; keys wrapped under it cannot be read without")),
      "MASTER_KEY_MALFORMED");
}

absl::StatusOr<base::Secret> ReadKey(int descriptor, const std::string& path) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) return IoError("reading", path);
  if (!S_ISREG(status.st_mode)) return Malformed(path);
  if ((status.st_mode & 077) != 0) {
    return base::WithReason(absl::FailedPreconditionError(
                                absl::StrCat(path,
                                             " can be accessed by others than its owner; run chmod 600 on "
                                             "it, and consider whether it has been read")),
                            "MASTER_KEY_PERMISSIONS");
  }
  base::Secret text{base::Bytes(kMaxFileSize + 1)};
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(descriptor, text.mutable_data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError("reading", path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  while (size > 0 && absl::ascii_isspace(text.data()[size - 1])) --size;
  // 32 octets are 43 characters and one '='; EVP_DecodeBlock gives 33 octets, the last of them padding.
  base::Secret octets{base::Bytes(kKeySize + 1)};
  if (size != kBase64Size || text.data()[kBase64Size - 1] != '=' || text.data()[kBase64Size - 2] == '=' ||
      EVP_DecodeBlock(octets.mutable_data(), text.data(), static_cast<int>(size)) !=
          static_cast<int>(kKeySize + 1)) {
    ERR_clear_error();
    return Malformed(path);
  }
  return base::Secret(octets.data(), kKeySize);
}

bool WriteAll(int descriptor, const std::uint8_t* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = write(descriptor, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

absl::Status SyncDirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const FileDescriptor descriptor(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || fsync(descriptor.get()) != 0) return IoError("securing", path);
  return absl::OkStatus();
}

// The whole file is written under another name and linked into place: link() fails when the name exists, so
// of several processes one wins, and none sees a half-written file.
absl::Status Create(const std::string& path) {
  base::Secret octets{base::Bytes(kKeySize)};
  base::Secret line{base::Bytes(kBase64Size + 1)};
  std::uint8_t suffix[8];
  if (RAND_priv_bytes(octets.mutable_data(), static_cast<int>(kKeySize)) != 1 ||
      RAND_bytes(suffix, sizeof suffix) != 1) {
    ERR_clear_error();
    return absl::InternalError("the random source failed while making a master key");
  }
  EVP_EncodeBlock(line.mutable_data(), octets.data(), static_cast<int>(kKeySize));
  line.mutable_data()[kBase64Size] = '\n';
  std::string temporary = absl::StrCat(path, ".new-");
  for (const std::uint8_t octet : suffix) absl::StrAppend(&temporary, absl::Hex(octet, absl::kZeroPad2));
  const FileDescriptor descriptor(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (descriptor.get() < 0) return IoError("creating", path);
  const bool written = fchmod(descriptor.get(), 0600) == 0 &&
                       WriteAll(descriptor.get(), line.data(), line.size()) && fsync(descriptor.get()) == 0;
  const bool placed = written && (link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST);
  const absl::Status result = placed ? absl::OkStatus() : IoError("creating", path);
  unlink(temporary.c_str());
  RETURN_IF_ERROR(result);
  return SyncDirectoryOf(path);
}

}  // namespace

MasterKey::MasterKey(base::Secret octets, base::Bytes id_octets, std::string id)
    : octets_(std::move(octets)), id_octets_(std::move(id_octets)), id_(std::move(id)) {}

absl::StatusOr<MasterKey> MasterKey::FromOctets(base::Secret octets) {
  if (octets.size() != kKeySize) {
    return base::WithReason(absl::InvalidArgumentError("a master key has 32 octets"), "MASTER_KEY_MALFORMED");
  }
  constexpr char kLabel[] = "phonepki master key id";
  base::Secret labelled{base::Bytes(sizeof kLabel + kKeySize)};
  std::memcpy(labelled.mutable_data(), kLabel, sizeof kLabel);
  std::memcpy(labelled.mutable_data() + sizeof kLabel, octets.data(), kKeySize);
  base::Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(labelled.data(), labelled.size(), digest.data());
  digest.resize(kIdSize);
  std::string id;
  for (const std::uint8_t octet : digest) absl::StrAppend(&id, absl::Hex(octet, absl::kZeroPad2));
  return MasterKey(std::move(octets), std::move(digest), std::move(id));
}

absl::StatusOr<MasterKey> MasterKey::LoadOrCreate(const std::string& path) {
  int opened = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0 && errno == ENOENT) {
    RETURN_IF_ERROR(Create(path));
    opened = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  }
  const FileDescriptor descriptor(opened);
  if (descriptor.get() < 0) return IoError("opening", path);
  ASSIGN_OR_RETURN(base::Secret octets, ReadKey(descriptor.get(), path));
  return FromOctets(std::move(octets));
}

}  // namespace phonepki::ca
