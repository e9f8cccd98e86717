#include "ca/keystore/keystore.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

namespace phonepki::ca {
namespace {

class KeystoreTest : public ::testing::Test {
 protected:
  KeystoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "phonepki-keystore-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  ~KeystoreTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  static Keystore WithKeyOf(char octet) {
    return Keystore(*MasterKey::FromOctets(base::Secret(std::string(32, octet))));
  }

  std::string KeyPath() const { return directory_ + "/master.key"; }

  std::string WriteKeyFile(const std::string& content, mode_t mode) const {
    std::ofstream(KeyPath()) << content;
    EXPECT_EQ(chmod(KeyPath().c_str(), mode), 0);
    return KeyPath();
  }

  std::string directory_;
};

constexpr char kBase64Key[] = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

TEST_F(KeystoreTest, UnwrapsWhatItWrapped) {
  const Keystore keystore = WithKeyOf('a');
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1300}, std::size_t{100000}}) {
    const std::string text(size, 'k');
    const auto blob = keystore.Wrap(base::Secret(text), "ca-key:12");
    ASSERT_TRUE(blob.ok()) << blob.status();
    const auto secret = keystore.Unwrap(*blob, "ca-key:12");
    ASSERT_TRUE(secret.ok()) << secret.status();
    EXPECT_EQ(secret->view(), text);
  }
}

TEST_F(KeystoreTest, EveryWrappingDiffersAndHidesTheSecret) {
  const Keystore keystore = WithKeyOf('a');
  const std::string text = "a private key in the clear";
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto blob = keystore.Wrap(base::Secret(text), "p");
    ASSERT_TRUE(blob.ok());
    EXPECT_TRUE(seen.insert(std::string(blob->begin(), blob->end())).second);
    EXPECT_EQ(std::search(blob->begin(), blob->end(), text.begin(), text.end()), blob->end());
  }
}

TEST_F(KeystoreTest, BlobOpensForItsPurposeOnly) {
  const Keystore keystore = WithKeyOf('a');
  const auto blob = keystore.Wrap(base::Secret("secret"), "ca-key:12");
  ASSERT_TRUE(blob.ok());
  for (const char* purpose :
       {"ca-key:1", "ca-key:13", "ca-key:122", "phone-key:12", "", "ca-key:12 ", "Sca-key:12"}) {
    const auto secret = keystore.Unwrap(*blob, purpose);
    EXPECT_EQ(secret.status().code(), absl::StatusCode::kDataLoss) << purpose;
    EXPECT_EQ(base::ReasonOf(secret.status()), "KEYSTORE_BLOB_REFUSED");
  }
  EXPECT_EQ(keystore.Wrap(base::Secret("secret"), "").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(KeystoreTest, EveryChangedBitIsRefused) {
  const Keystore keystore = WithKeyOf('a');
  const auto blob = keystore.Wrap(base::Secret("secret"), "p");
  ASSERT_TRUE(blob.ok());
  for (std::size_t i = 0; i < blob->size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      base::Bytes changed = *blob;
      changed[i] = static_cast<std::uint8_t>(changed[i] ^ (1 << bit));
      EXPECT_FALSE(keystore.Unwrap(changed, "p").ok()) << "octet " << i << " bit " << bit;
    }
    EXPECT_FALSE(
        keystore.Unwrap(base::Bytes(blob->begin(), blob->begin() + static_cast<std::ptrdiff_t>(i)), "p")
            .ok());
  }
  base::Bytes longer = *blob;
  longer.push_back(0);
  EXPECT_FALSE(keystore.Unwrap(longer, "p").ok());
  EXPECT_EQ(base::ReasonOf(keystore.Unwrap({}, "p").status()), "KEYSTORE_BLOB_MALFORMED");
}

TEST_F(KeystoreTest, PartsOfTwoBlobsDoNotCombine) {
  const Keystore keystore = WithKeyOf('a');
  const auto one = keystore.Wrap(base::Secret("secret one"), "p");
  const auto two = keystore.Wrap(base::Secret("secret two"), "p");
  ASSERT_TRUE(one.ok() && two.ok());
  constexpr std::size_t kSecretAt = 11 + 60;
  base::Bytes mixed = *two;
  std::copy_n(one->begin(), kSecretAt, mixed.begin());
  EXPECT_FALSE(keystore.Unwrap(mixed, "p").ok());
}

TEST_F(KeystoreTest, AnotherMasterKeyIsNamed) {
  const Keystore a = WithKeyOf('a');
  const Keystore b = WithKeyOf('b');
  EXPECT_NE(a.master_key_id(), b.master_key_id());
  EXPECT_EQ(a.master_key_id(), WithKeyOf('a').master_key_id());
  EXPECT_EQ(a.master_key_id().size(), 16u);
  const auto blob = a.Wrap(base::Secret("secret"), "p");
  ASSERT_TRUE(blob.ok());
  const auto secret = b.Unwrap(*blob, "p");
  EXPECT_EQ(secret.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(base::ReasonOf(secret.status()), "MASTER_KEY_UNKNOWN");
}

TEST_F(KeystoreTest, ThreadsShareAKeystore) {
  const Keystore keystore = WithKeyOf('a');
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string text = std::to_string(t * 1000 + i);
        const auto blob = keystore.Wrap(base::Secret(text), text);
        if (!blob.ok()) continue;
        const auto secret = keystore.Unwrap(*blob, text);
        if (secret.ok() && secret->view() == text) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

TEST_F(KeystoreTest, CreatesTheMasterKeyOnceWithNarrowPermissions) {
  umask(0);
  const auto created = MasterKey::LoadOrCreate(KeyPath());
  ASSERT_TRUE(created.ok()) << created.status();
  struct stat status;
  ASSERT_EQ(stat(KeyPath().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
  const auto loaded = MasterKey::LoadOrCreate(KeyPath());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->id(), created->id());
}

TEST_F(KeystoreTest, ProcessesThatCreateItAtOnceGetOneKey) {
  for (int round = 0; round < 10; ++round) {
    const std::string path = directory_ + "/race" + std::to_string(round);
    int gate[2];
    int results[2];
    ASSERT_EQ(pipe(gate), 0);
    ASSERT_EQ(pipe(results), 0);
    constexpr int kProcesses = 6;
    for (int p = 0; p < kProcesses; ++p) {
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        close(gate[1]);
        char ignored;
        (void)!read(gate[0], &ignored, 1);  // returns when the parent closes its end
        const auto key = MasterKey::LoadOrCreate(path);
        const std::string id = key.ok() ? key->id() : std::string(16, '!');
        (void)!write(results[1], id.data(), 16);
        _exit(0);
      }
    }
    close(gate[0]);
    close(gate[1]);
    close(results[1]);
    std::set<std::string> ids;
    for (int p = 0; p < kProcesses; ++p) {
      char id[16];
      ASSERT_EQ(read(results[0], id, sizeof id), 16);
      ids.insert(std::string(id, sizeof id));
    }
    close(results[0]);
    while (wait(nullptr) > 0) {
    }
    EXPECT_EQ(ids.size(), 1u);
    EXPECT_FALSE(ids.contains(std::string(16, '!')));
    EXPECT_EQ(MasterKey::LoadOrCreate(path)->id(), *ids.begin());
  }
}

TEST_F(KeystoreTest, RefusesAFileThatOthersCanAccess) {
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0644, 0666, 0777}) {
    const auto key = MasterKey::LoadOrCreate(WriteKeyFile(kBase64Key, mode));
    EXPECT_EQ(key.status().code(), absl::StatusCode::kFailedPrecondition) << std::oct << mode;
    EXPECT_EQ(base::ReasonOf(key.status()), "MASTER_KEY_PERMISSIONS");
  }
  for (const mode_t mode : {0600, 0400}) {
    EXPECT_TRUE(MasterKey::LoadOrCreate(WriteKeyFile(kBase64Key, mode)).ok());
    ASSERT_EQ(chmod(KeyPath().c_str(), 0600), 0);
  }
}

TEST_F(KeystoreTest, ReadsAKeyFromASecretMount) {
  WriteKeyFile(std::string(kBase64Key) + "\n", 0400);
  const std::string link = directory_ + "/link";
  ASSERT_EQ(symlink("master.key", link.c_str()), 0);
  const auto key = MasterKey::LoadOrCreate(link);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->id(), MasterKey::FromOctets(base::Secret("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"))->id());
}

TEST_F(KeystoreTest, RefusesAFileThatIsNotAKey) {
  for (const std::string& content :
       {std::string(), std::string("\n"), std::string("short"), std::string(44, '!'), std::string(44, '='),
        std::string("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZQ=="), std::string(kBase64Key) + "QUJD",
        std::string(10000, 'A')}) {
    const auto key = MasterKey::LoadOrCreate(WriteKeyFile(content, 0600));
    EXPECT_EQ(base::ReasonOf(key.status()), "MASTER_KEY_MALFORMED") << content.size();
    EXPECT_THAT(std::string(key.status().message()), ::testing::Not(::testing::HasSubstr("QUJD")));
  }
  EXPECT_EQ(base::ReasonOf(MasterKey::LoadOrCreate(directory_).status()), "MASTER_KEY_MALFORMED");
  EXPECT_EQ(base::ReasonOf(MasterKey::LoadOrCreate(directory_ + "/no/such/directory").status()),
            "MASTER_KEY_IO");
  EXPECT_EQ(base::ReasonOf(MasterKey::FromOctets(base::Secret("short")).status()), "MASTER_KEY_MALFORMED");
}

}  // namespace
}  // namespace phonepki::ca
