// Strict DER reading: definite, minimal lengths, one-octet tags. Shares nothing with der_writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace phonepki::ca {

// A view over octets that outlive it. Read* return false, and leave the reader where it was, when the next
// element is not what is asked for.
class DerReader {
 public:
  DerReader() = default;
  DerReader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  explicit DerReader(const base::Bytes& octets) : DerReader(octets.data(), octets.size()) {}

  bool AtEnd() const { return size_ == 0; }
  bool NextIs(std::uint8_t tag) const { return size_ > 0 && data_[0] == tag; }

  // Any element: its tag, its content, and the whole of it. Null pointers are skipped.
  bool ReadAny(std::uint8_t* tag, DerReader* content, DerReader* whole = nullptr);
  bool Read(std::uint8_t tag, DerReader* content, DerReader* whole = nullptr);
  // A dotted object identifier.
  bool ReadOid(std::string* dotted);

  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  base::Bytes ToBytes() const { return base::Bytes(data_, data_ + size_); }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }
  bool operator==(const DerReader& other) const { return view() == other.view(); }
  bool Equals(const base::Bytes& octets) const { return *this == DerReader(octets); }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace phonepki::ca
