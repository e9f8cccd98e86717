#include "ca/x509/der_reader.h"

namespace phonepki::ca {

bool DerReader::ReadAny(std::uint8_t* tag, DerReader* content, DerReader* whole) {
  if (size_ < 2 || (data_[0] & 0x1f) == 0x1f) return false;
  std::size_t header = 2;
  std::size_t length = data_[1];
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7f;
    if (octets == 0 || octets > 4 || size_ < 2 + octets) return false;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = length << 8 | data_[2 + i];
    if (length < 0x80 || length >> (8 * (octets - 1)) == 0) return false;
    header += octets;
  }
  if (length > size_ - header) return false;
  if (tag != nullptr) *tag = data_[0];
  const std::uint8_t* start = data_;
  data_ += header + length;
  size_ -= header + length;
  if (whole != nullptr) *whole = DerReader(start, header + length);
  if (content != nullptr) *content = DerReader(start + header, length);
  return true;
}

bool DerReader::Read(std::uint8_t tag, DerReader* content, DerReader* whole) {
  return NextIs(tag) && ReadAny(nullptr, content, whole);
}

bool DerReader::ReadOid(std::string* dotted) {
  DerReader saved = *this;
  DerReader content;
  if (!Read(0x06, &content) || content.AtEnd()) {
    *this = saved;
    return false;
  }
  std::string text;
  std::uint64_t arc = 0;
  bool first = true;
  bool open = false;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const std::uint8_t octet = content.data()[i];
    if ((!open && octet == 0x80) || arc >> 56 != 0) {
      *this = saved;
      return false;
    }
    arc = arc << 7 | (octet & 0x7f);
    open = (octet & 0x80) != 0;
    if (open) continue;
    if (first) {
      const std::uint64_t root = arc < 80 ? arc / 40 : 2;
      text = std::to_string(root) + "." + std::to_string(arc - root * 40);
      first = false;
    } else {
      text += "." + std::to_string(arc);
    }
    arc = 0;
  }
  if (open) {
    *this = saved;
    return false;
  }
  *dotted = std::move(text);
  return true;
}

}  // namespace phonepki::ca
