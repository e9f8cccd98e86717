#include "ca/x509/der_writer.h"

#include <cstdlib>
#include <string>

namespace phonepki::ca::der {
namespace {

void AppendHeader(base::Bytes* out, std::uint8_t tag, std::size_t size) {
  out->push_back(tag);
  if (size < 0x80) {
    out->push_back(static_cast<std::uint8_t>(size));
    return;
  }
  int octets = 1;
  while (size >> (8 * octets) != 0) ++octets;
  out->push_back(static_cast<std::uint8_t>(0x80 | octets));
  for (int i = octets - 1; i >= 0; --i) out->push_back(static_cast<std::uint8_t>(size >> (8 * i)));
}

}  // namespace

base::Bytes Tlv(std::uint8_t tag, const std::uint8_t* content, std::size_t size) {
  base::Bytes out;
  out.reserve(size + 5);
  AppendHeader(&out, tag, size);
  out.insert(out.end(), content, content + size);
  return out;
}

base::Bytes Tlv(std::uint8_t tag, const base::Bytes& content) {
  return Tlv(tag, content.data(), content.size());
}

base::Bytes Tlv(std::uint8_t tag, std::string_view content) {
  return Tlv(tag, reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
}

base::Bytes Tlv(std::uint8_t tag, std::initializer_list<base::Bytes> parts) {
  std::size_t size = 0;
  for (const base::Bytes& part : parts) size += part.size();
  base::Bytes out;
  out.reserve(size + 5);
  AppendHeader(&out, tag, size);
  for (const base::Bytes& part : parts) Append(&out, part);
  return out;
}

void Append(base::Bytes* to, const base::Bytes& more) {
  to->insert(to->end(), more.begin(), more.end());
}

base::Bytes Boolean(bool value) {
  return {kBoolean, 1, static_cast<std::uint8_t>(value ? 0xff : 0x00)};
}

base::Bytes SmallInteger(int value) {
  return {kInteger, 1, static_cast<std::uint8_t>(value & 0x7f)};
}

base::Bytes UnsignedInteger(const base::Bytes& magnitude) {
  std::size_t start = 0;
  while (start + 1 < magnitude.size() && magnitude[start] == 0) ++start;
  base::Bytes content;
  if (magnitude[start] & 0x80) content.push_back(0);
  content.insert(content.end(), magnitude.begin() + static_cast<std::ptrdiff_t>(start), magnitude.end());
  return Tlv(kInteger, content);
}

std::optional<base::Bytes> Oid(std::string_view dotted) {
  std::vector<std::uint64_t> arcs;
  std::size_t i = 0;
  while (true) {
    const std::size_t start = i;
    std::uint64_t arc = 0;
    for (; i < dotted.size() && dotted[i] >= '0' && dotted[i] <= '9'; ++i) {
      if (arc > (std::uint64_t{1} << 56)) return std::nullopt;
      arc = arc * 10 + static_cast<std::uint64_t>(dotted[i] - '0');
    }
    if (i == start || (i - start > 1 && dotted[start] == '0')) return std::nullopt;
    arcs.push_back(arc);
    if (i == dotted.size()) break;
    if (dotted[i++] != '.') return std::nullopt;
  }
  if (arcs.size() < 2 || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39)) return std::nullopt;
  base::Bytes content;
  arcs[1] += arcs[0] * 40;
  for (std::size_t a = 1; a < arcs.size(); ++a) {
    int groups = 1;
    while (groups < 9 && arcs[a] >> (7 * groups) != 0) ++groups;
    for (int g = groups - 1; g >= 0; --g) {
      content.push_back(static_cast<std::uint8_t>((arcs[a] >> (7 * g) & 0x7f) | (g > 0 ? 0x80 : 0)));
    }
  }
  return Tlv(kOid, content);
}

base::Bytes KnownOid(std::string_view dotted) {
  auto oid = Oid(dotted);
  if (!oid) std::abort();
  return *std::move(oid);
}

base::Bytes BitString(const base::Bytes& octets) {
  return Tlv(kBitString, {base::Bytes{0}, octets});
}

base::Bytes Time(absl::Time time) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  if (absl::ToCivilSecond(time, utc).year() < 2050) {
    return Tlv(kUtcTime, std::string_view(absl::FormatTime("%y%m%d%H%M%SZ", time, utc)));
  }
  return Tlv(kGeneralizedTime, std::string_view(absl::FormatTime("%Y%m%d%H%M%SZ", time, utc)));
}

}  // namespace phonepki::ca::der
