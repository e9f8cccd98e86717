#include "ca/x509/distinguished_name.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <openssl/asn1.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/der_reader.h"
#include "ca/x509/der_writer.h"
#include "ca/x509/openssl_ptr.h"
#include "ca/x509/utf8.h"

namespace phonepki::ca {
namespace {

using Asn1StringPtr = OpenSslPtr<ASN1_STRING, ASN1_STRING_free>;

constexpr std::size_t kMaxText = 4096;
constexpr std::size_t kMaxAttributes = 64;
constexpr char kCommonName[] = "2.5.4.3";

struct AttributeType {
  const char* name;
  const char* oid;
  int max_characters;  // upper bounds of RFC 5280 appendix A
  std::uint8_t tag;
};

constexpr std::array<AttributeType, 14> kTypes = {{
    {"C", "2.5.4.6", 2, der::kPrintableString},
    {"ST", "2.5.4.8", 128, der::kUtf8String},
    {"L", "2.5.4.7", 128, der::kUtf8String},
    {"O", "2.5.4.10", 64, der::kUtf8String},
    {"OU", "2.5.4.11", 64, der::kUtf8String},
    {"CN", kCommonName, static_cast<int>(kMaxCommonNameLength), der::kUtf8String},
    {"DC", "0.9.2342.19200300.100.1.25", 63, der::kIa5String},
    {"UID", "0.9.2342.19200300.100.1.1", 256, der::kUtf8String},
    {"serialNumber", "2.5.4.5", 64, der::kPrintableString},
    {"emailAddress", "1.2.840.113549.1.9.1", 255, der::kIa5String},
    {"street", "2.5.4.9", 128, der::kUtf8String},
    {"title", "2.5.4.12", 64, der::kUtf8String},
    {"givenName", "2.5.4.42", 64, der::kUtf8String},
    {"SN", "2.5.4.4", 64, der::kUtf8String},
}};
constexpr AttributeType kOtherType = {nullptr, nullptr, 1024, der::kUtf8String};

const AttributeType& TypeOf(std::string_view oid) {
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return type.oid == oid; });
  return found == kTypes.end() ? kOtherType : *found;
}

// Empty if the name is unknown.
std::string OidOf(std::string_view name) {
  for (const AttributeType& type : kTypes) {
    if (absl::EqualsIgnoreCase(base::ToAbsl(name), type.name)) return type.oid;
  }
  if (name == "S" || name == "s") return "2.5.4.8";
  if (name == "E" || name == "e") return "1.2.840.113549.1.9.1";
  return der::Oid(name) ? std::string(name) : std::string();
}

std::string TypeName(const std::string& oid) {
  const AttributeType& type = TypeOf(oid);
  return type.name == nullptr ? oid : type.name;
}

bool IsPrintableCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view(" '()+,-./:=?").find(c) != std::string_view::npos;
}

absl::Status CheckValue(const DistinguishedName::Attribute& attribute, const std::string& field,
                        bool bound_common_name) {
  const AttributeType& type = TypeOf(attribute.oid);
  const std::string name = TypeName(attribute.oid);
  const std::string& text = attribute.text;
  if (text.empty()) return base::InvalidField(field, "DN_VALUE_EMPTY", absl::StrCat(name, " has no value"));
  const int characters = CountCharacters(text);
  if (characters < 0) {
    return base::InvalidField(field, "DN_VALUE_CHARACTERS",
                              absl::StrCat("the value of ", name, " is not UTF-8"));
  }
  std::string_view rest = text;
  for (std::uint32_t c; NextCodePoint(&rest, &c);) {
    if (IsControl(c)) {
      return base::InvalidField(field, "DN_VALUE_CHARACTERS",
                                absl::StrCat("the value of ", name, " holds a control character"));
    }
  }
  if (std::string_view(name) == "C") {
    const auto letter = [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); };
    if (text.size() != 2 || !letter(text[0]) || !letter(text[1])) {
      return base::InvalidField(field, "DN_COUNTRY",
                                "C must be a country code of exactly two letters, such as US");
    }
  }
  const bool common_name = attribute.oid == kCommonName;
  if (characters > type.max_characters && (bound_common_name || !common_name)) {
    return base::InvalidField(field, common_name ? "COMMON_NAME_TOO_LONG" : "DN_VALUE_TOO_LONG",
                              absl::StrCat(name, " has ", characters, " characters; at most ",
                                           type.max_characters, " are allowed"));
  }
  const bool printable =
      type.tag != der::kPrintableString || std::all_of(text.begin(), text.end(), IsPrintableCharacter);
  const bool ascii = type.tag != der::kIa5String || std::all_of(text.begin(), text.end(), [](char c) {
                       return static_cast<unsigned char>(c) < 0x80;
                     });
  if (!printable || !ascii) {
    return base::InvalidField(
        field, "DN_VALUE_CHARACTERS",
        absl::StrCat("the value of ", name, " may hold ",
                     printable ? "ASCII" : "letters, digits, space and '()+,-./:=? ", " only"));
  }
  return absl::OkStatus();
}

base::Bytes EncodeAttribute(const DistinguishedName::Attribute& attribute) {
  return der::Tlv(der::kSequence, {der::KnownOid(attribute.oid),
                                   der::Tlv(static_cast<std::uint8_t>(attribute.tag), attribute.content)});
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The UTF-8 text of a character string; nullopt for any other type.
std::optional<std::string> DecodeString(int tag, std::string_view content) {
  switch (tag) {
    case V_ASN1_UTF8STRING:
      if (CountCharacters(content) < 0) return std::nullopt;
      return std::string(content);
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_NUMERICSTRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_T61STRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
      break;
    default:
      return std::nullopt;
  }
  const Asn1StringPtr string(ASN1_STRING_type_new(tag));
  if (string == nullptr ||
      ASN1_STRING_set(string.get(), content.data(), static_cast<int>(content.size())) != 1) {
    return std::nullopt;
  }
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, string.get());
  if (size < 0) return std::nullopt;
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

// Reads the text form one attribute at a time.
class TextReader {
 public:
  TextReader(std::string_view text, const std::string& field) : text_(text), field_(field) {}

  bool AtEnd() const { return position_ == text_.size(); }
  // What follows the attribute just read: ',' or '+', or 0 at the end.
  char TakeSeparator() { return AtEnd() ? '\0' : text_[position_++]; }

  absl::StatusOr<DistinguishedName::Attribute> ReadAttribute() {
    DistinguishedName::Attribute attribute;
    ASSIGN_OR_RETURN(attribute.oid, ReadType());
    SkipSpaces();
    if (!AtEnd() && text_[position_] == '#') {
      return Malformed("a value may not begin with #; write it as \\#");
    } else if (!AtEnd() && text_[position_] == '"') {
      ASSIGN_OR_RETURN(attribute.text, ReadQuoted());
    } else {
      ASSIGN_OR_RETURN(attribute.text, ReadPlain());
    }
    SkipSpaces();
    if (!AtEnd() && text_[position_] != ',' && text_[position_] != '+') {
      return Malformed("a quoted value must be followed by ',' or '+' or the end");
    }
    return attribute;
  }

  absl::Status Malformed(const std::string& rule) const {
    return base::InvalidField(field_, "DN_MALFORMED",
                              absl::StrCat(rule, " (at character ", position_ + 1, ")"));
  }

 private:
  void SkipSpaces() {
    while (!AtEnd() && text_[position_] == ' ') ++position_;
  }

  absl::StatusOr<std::string> ReadType() {
    SkipSpaces();
    const std::size_t equals = text_.find('=', position_);
    const std::size_t separator = text_.find_first_of(",+", position_);
    if (equals == std::string_view::npos || separator < equals) {
      return Malformed("expected attribute=value; write a comma or plus inside a value as \\, or \\+");
    }
    const std::string_view name =
        base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(text_.substr(position_, equals - position_))));
    std::string oid = OidOf(name);
    if (oid.empty()) {
      if (name.empty()) return Malformed("there is no attribute name before '='");
      return base::InvalidField(
          field_, "DN_UNKNOWN_ATTRIBUTE",
          absl::StrCat("unknown attribute \"", base::ToAbsl(name.substr(0, 40)),
                       "\"; known are C, ST, L, O, OU, CN, DC, UID, serialNumber, emailAddress, "
                       "street, title, givenName, SN and dotted object identifiers"));
    }
    position_ = equals + 1;
    return oid;
  }

  // The character after a backslash, or two hexadecimal digits.
  absl::Status ReadEscape(std::string* out) {
    ++position_;
    if (AtEnd()) return Malformed("a backslash stands at the end");
    const char c = text_[position_];
    if (position_ + 1 < text_.size() && HexDigit(c) >= 0 && HexDigit(text_[position_ + 1]) >= 0) {
      out->push_back(static_cast<char>(HexDigit(c) * 16 + HexDigit(text_[position_ + 1])));
      position_ += 2;
      return absl::OkStatus();
    }
    if (std::string_view(",+\"\\<>;= #").find(c) == std::string_view::npos) {
      return Malformed(
          "a backslash must precede one of , + \" \\ < > ; = # space, or two hexadecimal digits");
    }
    out->push_back(c);
    ++position_;
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadQuoted() {
    std::string value;
    ++position_;
    while (!AtEnd() && text_[position_] != '"') {
      if (text_[position_] == '\\') {
        RETURN_IF_ERROR(ReadEscape(&value));
      } else {
        value.push_back(text_[position_++]);
      }
    }
    if (AtEnd()) return Malformed("a quotation mark is not closed");
    ++position_;
    return value;
  }

  absl::StatusOr<std::string> ReadPlain() {
    std::string value;
    std::size_t keep = 0;  // spaces beyond are trailing
    while (!AtEnd() && text_[position_] != ',' && text_[position_] != '+') {
      const char c = text_[position_];
      if (c == '\\') {
        RETURN_IF_ERROR(ReadEscape(&value));
        keep = value.size();
        continue;
      }
      if (c == '"' || c == ';')
        return Malformed(absl::StrCat("write ", std::string(1, c), " as \\", std::string(1, c)));
      value.push_back(c);
      ++position_;
      if (c != ' ') keep = value.size();
    }
    value.resize(keep);
    return value;
  }

  const std::string_view text_;
  const std::string& field_;
  std::size_t position_ = 0;
};

std::string EscapeValue(const DistinguishedName::Attribute& attribute) {
  std::string out;
  const auto hex = [&out](unsigned char octet) {
    char buffer[3];
    std::snprintf(buffer, sizeof buffer, "%02X", octet);
    out += buffer;
  };
  if (attribute.text.empty()) {
    out = "#";
    for (const std::uint8_t octet : der::Tlv(static_cast<std::uint8_t>(attribute.tag), attribute.content))
      hex(octet);
    return out;
  }
  const std::string& text = attribute.text;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t start = text.size() - rest.size();
    std::uint32_t c = 0;
    if (!NextCodePoint(&rest, &c)) rest.remove_prefix(1);  // FromDer admits UTF-8 only; kept for safety
    const std::size_t size = text.size() - rest.size() - start;
    if (IsControl(c)) {
      for (std::size_t i = 0; i < size; ++i) {
        out += '\\';
        hex(static_cast<unsigned char>(text[start + i]));
      }
      continue;
    }
    const bool edge_space = c == ' ' && (start == 0 || rest.empty());
    if (edge_space || (c == '#' && start == 0) ||
        (c < 0x80 && std::string_view(",+\"\\<>;").find(static_cast<char>(c)) != std::string_view::npos)) {
      out += '\\';
    }
    out.append(text, start, size);
  }
  return out;
}

// Simple case folding of the scripts that phone fleets are named in: Latin, Greek, Cyrillic, Armenian.
std::uint32_t Fold(std::uint32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 32;
  if (c < 0xc0) return c;
  if (c <= 0xde && c != 0xd7) return c + 32;
  if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177) || (c >= 0x1e00 && c <= 0x1e95) ||
      (c >= 0x1ea0 && c <= 0x1eff) || (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf) ||
      (c >= 0x4d0 && c <= 0x52f)) {
    return c == 0x130 || c == 0x131 ? c : c | 1;
  }
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e)) return c % 2 == 1 ? c + 1 : c;
  if (c == 0x178) return 0xff;
  if (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) return c + 32;
  if (c == 0x3c2) return 0x3c3;
  if (c >= 0x410 && c <= 0x42f) return c + 32;
  if (c >= 0x400 && c <= 0x40f) return c + 80;
  if (c >= 0x531 && c <= 0x556) return c + 48;
  return c;
}

bool IsSpace(std::uint32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

std::string FoldValue(const DistinguishedName::Attribute& attribute) {
  if (attribute.text.empty()) return EscapeValue(attribute);
  std::string out;
  std::string_view rest = attribute.text;
  bool space = false;
  for (std::uint32_t c; NextCodePoint(&rest, &c);) {
    if (IsSpace(c)) {
      space = true;
      continue;
    }
    if (space && !out.empty()) out += ' ';
    space = false;
    if (c < 0x80 && std::string_view(",+=\\#").find(static_cast<char>(c)) != std::string_view::npos)
      out += '\\';
    AppendUtf8(Fold(c), &out);
  }
  return out;
}

}  // namespace

DistinguishedName::DistinguishedName() : der_{der::kSequence, 0} {}

absl::StatusOr<DistinguishedName> DistinguishedName::Parse(std::string_view text, const std::string& field) {
  return ParseText(text, field, /*bound_common_name=*/true);
}

absl::StatusOr<DistinguishedName> DistinguishedName::ParsePattern(std::string_view text,
                                                                  const std::string& field) {
  return ParseText(text, field, /*bound_common_name=*/false);
}

absl::StatusOr<DistinguishedName> DistinguishedName::ParseText(std::string_view text,
                                                               const std::string& field,
                                                               bool bound_common_name) {
  text = base::ToStd(absl::StripLeadingAsciiWhitespace(base::ToAbsl(text)));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.empty())
    return base::InvalidField(field, "DN_EMPTY",
                              "a distinguished name is needed, such as C=US, O=Example, CN=Name");
  TextReader reader(text, field);
  if (text.size() > kMaxText)
    return base::InvalidField(field, "DN_VALUE_TOO_LONG", "the name is longer than 4096 octets");
  std::vector<Rdn> rdns(1);
  std::size_t count = 0;
  while (true) {
    if (++count > kMaxAttributes) return reader.Malformed("the name has more than 64 attributes");
    ASSIGN_OR_RETURN(Attribute attribute, reader.ReadAttribute());
    rdns.back().push_back(std::move(attribute));
    const char separator = reader.TakeSeparator();
    if (separator == '\0') break;
    if (separator == ',') rdns.emplace_back();
  }
  return FromRdns(std::move(rdns), field, bound_common_name);
}

absl::StatusOr<DistinguishedName> DistinguishedName::FromRdns(std::vector<Rdn> rdns, const std::string& field,
                                                              bool bound_common_name) {
  DistinguishedName name;
  base::Bytes content;
  for (Rdn& rdn : rdns) {
    std::vector<std::pair<base::Bytes, Attribute>> encoded;
    for (Attribute& attribute : rdn) {
      if (attribute.tag == 0) {
        RETURN_IF_ERROR(CheckValue(attribute, field, bound_common_name));
        attribute.tag = TypeOf(attribute.oid).tag;
        attribute.content = attribute.text;
      }
      base::Bytes octets = EncodeAttribute(attribute);
      encoded.emplace_back(std::move(octets), std::move(attribute));
    }
    // DER orders the elements of a SET OF by their encoding.
    std::sort(encoded.begin(), encoded.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    base::Bytes set;
    rdn.clear();
    for (auto& [octets, attribute] : encoded) {
      for (const Attribute& other : rdn) {
        if (other.oid == attribute.oid) {
          return base::InvalidField(
              field, "DN_MALFORMED",
              absl::StrCat(TypeName(attribute.oid), " occurs twice in one part joined by '+'"));
        }
      }
      der::Append(&set, octets);
      rdn.push_back(std::move(attribute));
    }
    der::Append(&content, der::Tlv(der::kSet, set));
  }
  name.rdns_ = std::move(rdns);
  name.der_ = der::Tlv(der::kSequence, content);
  return name;
}

absl::StatusOr<DistinguishedName> DistinguishedName::FromDer(const base::Bytes& der_name) {
  const auto malformed = [] {
    return base::WithReason(absl::InvalidArgumentError("the octets are not a DER distinguished name"),
                            "DN_MALFORMED");
  };
  DistinguishedName name;
  DerReader outer(der_name);
  DerReader rdns;
  if (!outer.Read(der::kSequence, &rdns) || !outer.AtEnd()) return malformed();
  while (!rdns.AtEnd()) {
    DerReader set;
    if (!rdns.Read(der::kSet, &set) || set.AtEnd()) return malformed();
    Rdn rdn;
    while (!set.AtEnd()) {
      DerReader pair;
      DerReader content;
      std::uint8_t tag = 0;
      Attribute attribute;
      if (!set.Read(der::kSequence, &pair) || !pair.ReadOid(&attribute.oid) ||
          !pair.ReadAny(&tag, &content) || !pair.AtEnd()) {
        return malformed();
      }
      attribute.tag = tag;
      attribute.content = std::string(content.view());
      attribute.text = DecodeString(tag, content.view()).value_or("");
      rdn.push_back(std::move(attribute));
    }
    name.rdns_.push_back(std::move(rdn));
  }
  name.der_ = der_name;
  return name;
}

std::string DistinguishedName::Print() const {
  std::string out;
  for (const Rdn& rdn : rdns_) {
    if (!out.empty()) out += ", ";
    for (std::size_t i = 0; i < rdn.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "" : "+", TypeName(rdn[i].oid), "=", EscapeValue(rdn[i]));
    }
  }
  return out;
}

std::optional<std::string> DistinguishedName::CommonName() const {
  for (const Rdn& rdn : rdns_) {
    for (const Attribute& attribute : rdn) {
      if (attribute.oid == kCommonName) return attribute.text;
    }
  }
  return std::nullopt;
}

int DistinguishedName::CommonNameCount() const {
  int count = 0;
  for (const Rdn& rdn : rdns_) {
    for (const Attribute& attribute : rdn) count += attribute.oid == kCommonName ? 1 : 0;
  }
  return count;
}

absl::StatusOr<DistinguishedName> DistinguishedName::WithCommonName(std::string_view cn,
                                                                    const std::string& field) const {
  const int count = CommonNameCount();
  if (count == 0) return base::InvalidField(field, "DN_WITHOUT_CN", "the name has no CN");
  if (count > 1) return base::InvalidField(field, "DN_SEVERAL_CNS", "the name has more than one CN");
  return Rewritten(field, [&](const std::string& oid, const std::string& text) {
    return oid == kCommonName ? std::string(cn) : text;
  });
}

std::string DistinguishedName::Canonical() const {
  std::string out;
  for (const Rdn& rdn : rdns_) {
    std::vector<std::string> parts;
    for (const Attribute& attribute : rdn) {
      parts.push_back(
          absl::StrCat(absl::AsciiStrToLower(TypeName(attribute.oid)), "=", FoldValue(attribute)));
    }
    std::sort(parts.begin(), parts.end());
    if (!out.empty()) out += ',';
    for (std::size_t i = 0; i < parts.size(); ++i) absl::StrAppend(&out, i == 0 ? "" : "+", parts[i]);
  }
  return out;
}

}  // namespace phonepki::ca
