// Octets that must not leak: private keys, pass phrases, PINs, data keys.
// Wiped on destruction and on move-out, not copyable by accident (use Copy()), not printable.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace phonepki::base {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);
  Secret(const std::uint8_t* data, std::size_t size);
  // Takes the octets over and leaves `octets` empty; no copy stays behind.
  explicit Secret(Bytes&& octets) noexcept;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  Secret Copy() const;

  const std::uint8_t* data() const { return octets_.data(); }
  std::uint8_t* mutable_data() { return octets_.data(); }
  std::size_t size() const { return octets_.size(); }
  bool empty() const { return octets_.empty(); }
  // A view for passing to a library call; the caller must not store it.
  std::string_view view() const { return {reinterpret_cast<const char*>(octets_.data()), octets_.size()}; }

 private:
  void Wipe() noexcept;
  Bytes octets_;
};

// Wipes a buffer that another library filled with secret octets.
void WipeMemory(void* data, std::size_t size) noexcept;

}  // namespace phonepki::base
