#include "tests/ca/x509/x509_test_support.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include <sys/wait.h>

namespace phonepki::ca::testing {

absl::Time At(const std::string& rfc3339) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, rfc3339, &time, &error)) << rfc3339 << ": " << error;
  return time;
}

const PrivateKey& TestKey(KeyAlgorithm algorithm, int index) {
  static auto& keys = *new std::map<std::pair<KeyAlgorithm, int>, PrivateKey>;
  const auto at = std::make_pair(algorithm, index);
  if (!keys.contains(at)) {
    auto key = KeyGenerator().Generate(algorithm);
    EXPECT_TRUE(key.ok()) << key.status();
    keys.emplace(at, *std::move(key));
  }
  return keys.at(at);
}

PrivateKey CopyOf(const PrivateKey& key) {
  return *PrivateKey::FromPkcs8Der(*key.ToPkcs8Der());
}

DistinguishedName Name(const std::string& text) {
  auto name = DistinguishedName::Parse(text, "subject");
  EXPECT_TRUE(name.ok()) << name.status();
  return *std::move(name);
}

nlohmann::json TestData(const std::string& name) {
  std::ifstream file(std::string(PHONEPKI_SOURCE_DIR) + "/tests/data/x509/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "phonepki-test-XXXXXX").string();
  EXPECT_NE(mkdtemp(pattern.data()), nullptr);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::Write(const std::string& name, std::string_view content) const {
  const std::string path = path_ + "/" + name;
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  EXPECT_TRUE(file.good()) << path;
  return path;
}

CommandResult RunCommand(const std::string& shell_command) {
  CommandResult result;
  FILE* const pipe = popen(("( " + shell_command + " ) 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  while (const std::size_t size = fread(buffer.data(), 1, buffer.size(), pipe))
    result.output.append(buffer.data(), size);
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

TestCa::TestCa(KeyAlgorithm algorithm, const std::string& name, absl::Time not_before, absl::Time not_after,
               absl::Time now, const Profile& profile)
    : clock(now) {
  Profile lenient = profile;
  lenient.allow_2038 = true;
  lenient.allow_rsa1024 = true;
  auto made = SelfSignCa(TestKey(algorithm, 100), Name(name), not_before, not_after, lenient);
  EXPECT_TRUE(made.ok()) << made.status();
  certificate = *std::move(made);
  auto created = Issuer::Create(certificate, CopyOf(TestKey(algorithm, 100)), clock);
  EXPECT_TRUE(created.ok()) << created.status();
  issuer = *std::move(created);
}

}  // namespace phonepki::ca::testing
