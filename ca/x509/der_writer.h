// Just enough DER encoding to write a certificate body and a name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include <absl/time/time.h>

#include "base/bytes.h"

namespace phonepki::ca::der {

inline constexpr std::uint8_t kBoolean = 0x01, kInteger = 0x02, kBitString = 0x03, kOctetString = 0x04,
                              kNull = 0x05, kOid = 0x06, kUtf8String = 0x0c, kSequence = 0x30, kSet = 0x31,
                              kPrintableString = 0x13, kIa5String = 0x16, kUtcTime = 0x17,
                              kGeneralizedTime = 0x18;
// Context-specific tags [n].
constexpr std::uint8_t Primitive(int n) {
  return static_cast<std::uint8_t>(0x80 | n);
}
constexpr std::uint8_t Constructed(int n) {
  return static_cast<std::uint8_t>(0xa0 | n);
}

base::Bytes Tlv(std::uint8_t tag, const std::uint8_t* content, std::size_t size);
base::Bytes Tlv(std::uint8_t tag, const base::Bytes& content);
base::Bytes Tlv(std::uint8_t tag, std::string_view content);
// The parts one after the other inside one element.
base::Bytes Tlv(std::uint8_t tag, std::initializer_list<base::Bytes> parts);
void Append(base::Bytes* to, const base::Bytes& more);

base::Bytes Boolean(bool value);
base::Bytes SmallInteger(int value);  // 0 ... 127
// `magnitude`: big-endian, not empty.
base::Bytes UnsignedInteger(const base::Bytes& magnitude);
// Nullopt if `dotted` is not an object identifier.
std::optional<base::Bytes> Oid(std::string_view dotted);
// For identifiers known to be well formed.
base::Bytes KnownOid(std::string_view dotted);
base::Bytes BitString(const base::Bytes& octets);
// UTCTime through 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5).
base::Bytes Time(absl::Time time);

}  // namespace phonepki::ca::der
