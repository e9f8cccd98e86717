// What the certificate tests share: a clock that stands still, key pairs made once, files, and other people's
// tools.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/error.h"
#include "ca/x509/certificate.h"
#include "ca/x509/issuer.h"
#include "ca/x509/key.h"
#include "tests/testing/status.h"

namespace phonepki::ca::testing {

class FixedClock final : public base::Clock {
 public:
  explicit FixedClock(absl::Time now) : now_(now) {}
  absl::Time Now() const override { return now_; }
  void Set(absl::Time now) { now_ = now; }

 private:
  absl::Time now_;
};

absl::Time At(const std::string& rfc3339);

// The same key on every call with the same arguments: keys are dear.
const PrivateKey& TestKey(KeyAlgorithm algorithm, int index = 0);
PrivateKey CopyOf(const PrivateKey& key);

DistinguishedName Name(const std::string& text);

// tests/data/x509/`name`, parsed.
nlohmann::json TestData(const std::string& name);

// A directory that goes away with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, std::string_view content) const;

 private:
  std::string path_;
};

struct CommandResult {
  int status = -1;  // 127: the tool is not installed, which fails every test that needs it
  std::string output;
};
// Standard error is part of the output.
CommandResult RunCommand(const std::string& shell_command);

// A CA with its issuer, on a clock of its own.
struct TestCa {
  TestCa(KeyAlgorithm algorithm, const std::string& name, absl::Time not_before, absl::Time not_after,
         absl::Time now, const Profile& profile = CaProfile());

  FixedClock clock;
  base::Bytes certificate;
  std::unique_ptr<Issuer> issuer;
};

}  // namespace phonepki::ca::testing
