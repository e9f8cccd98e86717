// A directory that goes away with the object. Other users may pass through it: PostgreSQL never runs as root.
#pragma once

#include <string>

namespace phonepki::testing {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace phonepki::testing
