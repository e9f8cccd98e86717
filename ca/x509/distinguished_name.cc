#include "ca/x509/distinguished_name.h"

#include <openssl/objects.h>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/openssl_error.h"
#include "ca/x509/openssl_ptr.h"

namespace phonepki::ca {
namespace {

constexpr int kMaxCommonName = 64;  // ub-common-name, RFC 5280 appendix A.1

struct KnownAttribute {
  const char* name;
  int nid;
};
// The first name of a nid is the one printed.
constexpr KnownAttribute kKnown[] = {
    {"C", NID_countryName},          {"ST", NID_stateOrProvinceName}, {"S", NID_stateOrProvinceName},
    {"L", NID_localityName},         {"O", NID_organizationName},     {"OU", NID_organizationalUnitName},
    {"CN", NID_commonName},          {"DC", NID_domainComponent},     {"UID", NID_userId},
    {"serialNumber", NID_serialNumber}, {"emailAddress", NID_pkcs9_emailAddress}, {"E", NID_pkcs9_emailAddress},
    {"street", NID_streetAddress},   {"title", NID_title},            {"SN", NID_surname},
    {"givenName", NID_givenName},
};

std::optional<int> NidOf(const std::string& name) {
  for (const KnownAttribute& known : kKnown) {
    if (absl::EqualsIgnoreCase(name, known.name)) return known.nid;
  }
  return std::nullopt;
}

std::string NameOf(int nid) {
  for (const KnownAttribute& known : kKnown) {
    if (known.nid == nid) return known.name;
  }
  return OBJ_nid2sn(nid);
}

// Number of characters, or -1 for invalid UTF-8.
int CountCharacters(const std::string& text) {
  int count = 0;
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  int left = static_cast<int>(text.size());
  while (left > 0) {
    unsigned long value = 0;
    const int used = UTF8_getc(at, left, &value);
    if (used <= 0) return -1;
    at += used;
    left -= used;
    ++count;
  }
  return count;
}

absl::Status CheckValue(int nid, const std::string& value, const std::string& field) {
  const int characters = CountCharacters(value);
  if (characters < 0) return base::InvalidField(field, "DN_MALFORMED", "the name must be valid UTF-8");
  if (characters == 0) {
    return base::InvalidField(field, "DN_EMPTY", absl::StrCat(NameOf(nid), " has no value"));
  }
  for (unsigned char c : value) {
    if (c < 0x20 || c == 0x7f) {
      return base::InvalidField(field, "DN_MALFORMED", absl::StrCat(NameOf(nid), " holds a control character"));
    }
  }
  if (nid == NID_countryName &&
      (value.size() != 2 || !absl::ascii_isalpha(value[0]) || !absl::ascii_isalpha(value[1]))) {
    return base::InvalidField(field, "DN_COUNTRY", "C must be a country code of exactly 2 letters");
  }
  if (nid == NID_commonName && characters > kMaxCommonName) {
    return base::InvalidField(field, "COMMON_NAME_TOO_LONG",
                              absl::StrCat("CN has ", characters, " characters, at most 64 are allowed"));
  }
  if (characters > 128) {
    return base::InvalidField(field, "DN_MALFORMED", absl::StrCat(NameOf(nid), " is longer than 128 characters"));
  }
  return absl::OkStatus();
}

// Reads one value up to an unescaped ',' ';' or '+'. `at` ends on the separator or the end.
absl::StatusOr<std::string> ReadValue(std::string_view text, std::size_t* at, const std::string& field) {
  std::string value;
  std::size_t significant = 0;  // length up to which trailing blanks were escaped or quoted
  bool quoted = false;
  while (*at < text.size() && absl::ascii_isspace(text[*at])) ++*at;
  for (; *at < text.size(); ++*at) {
    const char c = text[*at];
    if (c == '"') {
      quoted = !quoted;
      significant = value.size();
    } else if (c == '\\') {
      if (++*at >= text.size()) return base::InvalidField(field, "DN_MALFORMED", "the name ends in a backslash");
      if (*at + 1 < text.size() && absl::ascii_isxdigit(text[*at]) && absl::ascii_isxdigit(text[*at + 1])) {
        value += absl::HexStringToBytes(base::ToAbsl(text.substr(*at, 2)));
        ++*at;
      } else {
        value += text[*at];
      }
      significant = value.size();
    } else if (!quoted && (c == ',' || c == ';' || c == '+')) {
      break;
    } else {
      value += c;
      if (quoted) significant = value.size();
    }
  }
  if (quoted) return base::InvalidField(field, "DN_MALFORMED", "a quotation mark is not closed");
  while (value.size() > significant && absl::ascii_isspace(value.back())) value.pop_back();
  return value;
}

std::string Escape(const std::string& value) {
  std::string out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    const bool edge_blank = c == ' ' && (i == 0 || i + 1 == value.size());
    if (edge_blank || absl::StrContains(",;+\"\\<>", absl::string_view(&c, 1)) || (c == '#' && i == 0)) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

absl::StatusOr<DistinguishedName> DistinguishedName::Parse(std::string_view text, const std::string& field) {
  DistinguishedName name;
  std::size_t at = 0;
  bool joined = false;
  while (at < text.size()) {
    const std::size_t equals = text.find('=', at);
    if (equals == std::string_view::npos) {
      return base::InvalidField(field, "DN_MALFORMED",
                                "write the name as attribute=value pairs, for example C=US, O=Unify, CN=MyNewCA");
    }
    const std::string type(absl::StripAsciiWhitespace(base::ToAbsl(text.substr(at, equals - at))));
    const std::optional<int> nid = NidOf(type);
    if (!nid) {
      return base::InvalidField(field, "DN_ATTRIBUTE_UNKNOWN",
                                absl::StrCat("\"", type, "\" is no attribute of a name; use C, ST, L, O, OU, CN, …"));
    }
    at = equals + 1;
    ASSIGN_OR_RETURN(std::string value, ReadValue(text, &at, field));
    RETURN_IF_ERROR(CheckValue(*nid, value, field));
    if (*nid == NID_countryName) value = absl::AsciiStrToUpper(value);
    name.attributes_.push_back({*nid, value, joined});
    if (at < text.size()) {
      joined = text[at] == '+';
      ++at;
      if (absl::StripAsciiWhitespace(base::ToAbsl(text.substr(at))).empty()) {
        return base::InvalidField(field, "DN_MALFORMED", "the name ends in a separator");
      }
    }
  }
  if (name.attributes_.empty()) return base::InvalidField(field, "DN_EMPTY", "the name must not be empty");
  return name;
}

absl::StatusOr<DistinguishedName> DistinguishedName::FromDer(const base::Bytes& der) {
  const unsigned char* at = der.data();
  X509NamePtr parsed(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed) return OpenSslError("reading a distinguished name");
  DistinguishedName name;
  int last_set = -1;
  for (int i = 0; i < X509_NAME_entry_count(parsed.get()); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(parsed.get(), i);
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    if (size < 0) return OpenSslError("reading a distinguished name");
    const int set = X509_NAME_ENTRY_set(entry);
    name.attributes_.push_back({OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)),
                                std::string(reinterpret_cast<char*>(utf8), size), set == last_set});
    last_set = set;
    OPENSSL_free(utf8);
  }
  return name;
}

std::string DistinguishedName::Print() const {
  std::string text;
  for (const Attribute& attribute : attributes_) {
    if (!text.empty()) text += attribute.joined ? " + " : ", ";
    absl::StrAppend(&text, NameOf(attribute.nid), "=", Escape(attribute.value));
  }
  return text;
}

std::string DistinguishedName::Canonical() const {
  std::string folded = absl::AsciiStrToLower(Print());
  absl::RemoveExtraAsciiWhitespace(&folded);
  return folded;
}

base::Bytes DistinguishedName::ToDer() const {
  X509NamePtr name(X509_NAME_new());
  for (const Attribute& attribute : attributes_) {
    const int type = attribute.nid == NID_countryName || attribute.nid == NID_serialNumber ? V_ASN1_PRINTABLESTRING
                     : attribute.nid == NID_domainComponent || attribute.nid == NID_pkcs9_emailAddress
                         ? V_ASN1_IA5STRING
                         : V_ASN1_UTF8STRING;
    X509_NAME_add_entry_by_NID(name.get(), attribute.nid, type,
                               reinterpret_cast<const unsigned char*>(attribute.value.data()),
                               static_cast<int>(attribute.value.size()), -1, attribute.joined ? -1 : 0);
  }
  unsigned char* out = nullptr;
  const int size = i2d_X509_NAME(name.get(), &out);
  base::Bytes der(out, out + std::max(size, 0));
  OPENSSL_free(out);
  return der;
}

int DistinguishedName::CommonNameCount() const {
  int count = 0;
  for (const Attribute& attribute : attributes_) count += attribute.nid == NID_commonName;
  return count;
}

std::optional<std::string> DistinguishedName::CommonName() const {
  for (auto it = attributes_.rbegin(); it != attributes_.rend(); ++it) {
    if (it->nid == NID_commonName) return it->value;
  }
  return std::nullopt;
}

absl::StatusOr<DistinguishedName> DistinguishedName::WithCommonName(const std::string& value,
                                                                    const std::string& field) const {
  RETURN_IF_ERROR(CheckValue(NID_commonName, value, field));
  DistinguishedName changed = *this;
  for (Attribute& attribute : changed.attributes_) {
    if (attribute.nid == NID_commonName) attribute.value = value;
  }
  return changed;
}

}  // namespace phonepki::ca
