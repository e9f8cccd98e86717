// Distinguished names in the form operators type them: most significant part first, ", " between the parts,
//   C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=MyNewCA
// with the escapes and quoting of RFC 4514 (\, \+ \" \XX, "quoted"), '+' joining the attributes of one part.
// A name read from DER keeps its octets, so that an issuer name is repeated exactly in what it issues.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "base/bytes.h"

namespace phonepki::ca {

// RFC 5280 upper bound of commonName, in characters.
inline constexpr std::size_t kMaxCommonNameLength = 64;

class DistinguishedName {
 public:
  struct Attribute {
    std::string oid;      // dotted
    int tag = 0;          // ASN.1 tag of the value
    std::string content;  // the value's content octets
    std::string text;     // the value as UTF-8; empty for a value that is not a string
  };
  using Rdn = std::vector<Attribute>;

  // The empty name; only a placeholder until a real one is assigned.
  DistinguishedName();

  // kInvalidArgument on `field`, reasons DN_EMPTY, DN_MALFORMED, DN_UNKNOWN_ATTRIBUTE, DN_VALUE_EMPTY,
  // DN_VALUE_TOO_LONG, DN_VALUE_CHARACTERS, DN_COUNTRY, COMMON_NAME_TOO_LONG.
  static absl::StatusOr<DistinguishedName> Parse(std::string_view text, const std::string& field);
  // As Parse, but does not bound the length of the common name: for templates, whose placeholders are not the
  // final text.
  static absl::StatusOr<DistinguishedName> ParsePattern(std::string_view text, const std::string& field);
  // kInvalidArgument, reason DN_MALFORMED.
  static absl::StatusOr<DistinguishedName> FromDer(const base::Bytes& der_name);

  // Parse reads this back to a name with the same Canonical(); except a value that is no character string,
  // which other CAs may have written: it is shown as # and hexadecimal DER.
  std::string Print() const;

  // The first common name.
  std::optional<std::string> CommonName() const;
  int CommonNameCount() const;
  // Replaces the value of the one common name. kInvalidArgument on `field`: there is not exactly one
  // (DN_WITHOUT_CN, DN_SEVERAL_CNS), or `cn` is not a valid value.
  absl::StatusOr<DistinguishedName> WithCommonName(std::string_view cn, const std::string& field) const;
  // Replaces attribute values by `rewrite(oid, text)`; a common name may not exceed its bound afterwards.
  template <typename Rewrite>
  absl::StatusOr<DistinguishedName> Rewritten(const std::string& field, Rewrite&& rewrite) const {
    std::vector<Rdn> rdns = rdns_;
    for (Rdn& rdn : rdns) {
      for (Attribute& attribute : rdn) {
        const std::string text = rewrite(attribute.oid, attribute.text);
        if (text != attribute.text) attribute = Attribute{attribute.oid, 0, "", text};
      }
    }
    return FromRdns(std::move(rdns), field);
  }

  const std::vector<Rdn>& rdns() const { return rdns_; }
  bool empty() const { return rdns_.empty(); }

  // UTF8String; PrintableString for C and serialNumber, IA5String for DC and emailAddress.
  base::Bytes ToDer() const { return der_; }
  const base::Bytes& der() const { return der_; }
  bool operator==(const DistinguishedName& other) const { return der_ == other.der_; }

  // A key for "the same name" after RFC 5280 section 7.1: case folded, runs of spaces squeezed, string types
  // ignored. Two names that a validator would take for one have one Canonical().
  std::string Canonical() const;

 private:
  static absl::StatusOr<DistinguishedName> ParseText(std::string_view text, const std::string& field,
                                                     bool bound_common_name);
  // Attributes with tag 0 get type and content from `text`, after it is checked.
  static absl::StatusOr<DistinguishedName> FromRdns(std::vector<Rdn> rdns, const std::string& field,
                                                    bool bound_common_name = true);

  std::vector<Rdn> rdns_;
  base::Bytes der_;
};

}  // namespace phonepki::ca
