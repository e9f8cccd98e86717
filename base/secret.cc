#include "base/secret.h"

#include <openssl/crypto.h>

namespace phonepki::base {

Secret::Secret(std::string_view text)
    : Secret(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()) {}

Secret::Secret(const std::uint8_t* data, std::size_t size) : octets_(data, data + size) {}

Secret::Secret(Bytes&& octets) noexcept : octets_(std::move(octets)) {
  octets.clear();
}

Secret::Secret(Secret&& other) noexcept : octets_(std::move(other.octets_)) {
  other.octets_.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    Wipe();
    octets_ = std::move(other.octets_);
    other.octets_.clear();
  }
  return *this;
}

Secret::~Secret() {
  Wipe();
}

Secret Secret::Copy() const {
  return Secret(octets_.data(), octets_.size());
}

void Secret::Wipe() noexcept {
  WipeMemory(octets_.data(), octets_.size());
  octets_.clear();
}

void WipeMemory(void* data, std::size_t size) noexcept {
  if (size > 0) OPENSSL_cleanse(data, size);
}

}  // namespace phonepki::base
