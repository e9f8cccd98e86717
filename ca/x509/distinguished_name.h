// Distinguished names as people type them, most significant first: "C=US, ST=FL, O=Unify, CN=MyNewCA".
// RFC 4514 escapes and quotes, multi-valued RDNs with '+', UTF-8. Rules: C-17 (country 2 letters, CN at most 64).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/bytes.h"

namespace phonepki::ca {

class DistinguishedName {
 public:
  // kInvalidArgument naming `field`; reasons DN_MALFORMED, DN_EMPTY, DN_ATTRIBUTE_UNKNOWN, DN_COUNTRY,
  // COMMON_NAME_TOO_LONG.
  static absl::StatusOr<DistinguishedName> Parse(std::string_view text, const std::string& field);
  static absl::StatusOr<DistinguishedName> FromDer(const base::Bytes& der);

  // Parse() reads it back.
  std::string Print() const;
  // Key for "the same subject": RFC 5280 7.1, case folded, white space collapsed.
  std::string Canonical() const;
  base::Bytes ToDer() const;
  bool operator==(const DistinguishedName& other) const { return ToDer() == other.ToDer(); }

  int CommonNameCount() const;
  // Of the last CN.
  std::optional<std::string> CommonName() const;
  // Replaces the one CN. kInvalidArgument COMMON_NAME_TOO_LONG.
  absl::StatusOr<DistinguishedName> WithCommonName(const std::string& value, const std::string& field) const;

 private:
  struct Attribute {
    int nid;
    std::string value;  // UTF-8
    bool joined;        // '+': belongs to the RDN of the attribute before
  };
  std::vector<Attribute> attributes_;
};

}  // namespace phonepki::ca
