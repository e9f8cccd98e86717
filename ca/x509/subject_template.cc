#include "ca/x509/subject_template.h"

#include <algorithm>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::ca {
namespace {

constexpr const char* kPlaceholders[] = {"ip", "fqdn", "mac", "e164", "location"};

// The pieces of a CN: literal text and placeholders ("?" or a name of kPlaceholders).
struct Piece {
  bool placeholder;
  std::string text;
};

absl::StatusOr<std::vector<Piece>> Split(const std::string& cn, const std::string& field) {
  std::vector<Piece> pieces;
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) pieces.push_back({false, literal});
    literal.clear();
  };
  for (std::size_t i = 0; i < cn.size(); ++i) {
    if (cn[i] == '?') {
      flush();
      pieces.push_back({true, "?"});
    } else if (cn[i] == '{') {
      const std::size_t end = cn.find('}', i);
      const std::string name = end == std::string::npos ? cn.substr(i) : cn.substr(i + 1, end - i - 1);
      if (end == std::string::npos || std::find(std::begin(kPlaceholders), std::end(kPlaceholders), name) ==
                                          std::end(kPlaceholders)) {
        return base::InvalidField(field, "TEMPLATE_PLACEHOLDER_UNKNOWN",
                                  absl::StrCat("\"{", name, "}\" is no placeholder; use ?, {ip}, {fqdn}, {mac}, "
                                               "{e164} or {location}"));
      }
      flush();
      pieces.push_back({true, name});
      i = end;
    } else {
      literal += cn[i];
    }
  }
  flush();
  return pieces;
}

bool IsHostName(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (const auto& label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    for (char c : label) {
      if (!absl::ascii_isalnum(c) && c != '-') return false;
    }
  }
  return true;
}

absl::Status Unknown(const std::string& what, const std::string& reason) {
  return base::WithReason(absl::FailedPreconditionError(absl::StrCat("the device has no ", what)), reason);
}

absl::StatusOr<std::string> Value(const std::string& placeholder, const EndPointNames& names, NameSource source) {
  if (placeholder == "?") {
    const bool fqdn_first = source == NameSource::kFqdn || source == NameSource::kFqdnThenIp;
    const bool only_one = source == NameSource::kFqdn || source == NameSource::kIp;
    const std::string& first = fqdn_first ? names.fqdn : names.ip;
    const std::string& second = fqdn_first ? names.ip : names.fqdn;
    if (!first.empty()) return first;
    if (!only_one && !second.empty()) return second;
    return fqdn_first ? Unknown("FQDN for '?'", "DEVICE_HAS_NO_FQDN")
                      : Unknown("IP address for '?'; it gets one at its first contact", "DEVICE_HAS_NO_IP");
  }
  if (placeholder == "ip") return names.ip.empty() ? Unknown("IP address", "DEVICE_HAS_NO_IP") : absl::StatusOr<std::string>(names.ip);
  if (placeholder == "fqdn") return names.fqdn.empty() ? Unknown("FQDN", "DEVICE_HAS_NO_FQDN") : absl::StatusOr<std::string>(names.fqdn);
  if (placeholder == "mac") return names.mac;
  if (placeholder == "e164") return names.e164.empty() ? Unknown("E.164 number", "DEVICE_HAS_NO_E164") : absl::StatusOr<std::string>(names.e164);
  return names.location;
}

}  // namespace

absl::StatusOr<NameSource> ParseNameSource(const std::string& name, const std::string& field) {
  if (name == "ip") return NameSource::kIp;
  if (name == "fqdn") return NameSource::kFqdn;
  if (name == "fqdn-then-ip") return NameSource::kFqdnThenIp;
  if (name == "ip-then-fqdn") return NameSource::kIpThenFqdn;
  return base::InvalidField(field, "NAME_SOURCE", "must be ip, fqdn, fqdn-then-ip or ip-then-fqdn");
}

absl::StatusOr<SubjectTemplate> SubjectTemplate::Parse(const std::string& text, const std::string& field) {
  ASSIGN_OR_RETURN(DistinguishedName name, DistinguishedName::Parse(text, field));
  if (name.CommonNameCount() == 0) {
    return base::InvalidField(field, "TEMPLATE_WITHOUT_COMMON_NAME", "the template needs a CN holding '?'");
  }
  if (name.CommonNameCount() > 1) {
    return base::InvalidField(field, "TEMPLATE_SEVERAL_COMMON_NAMES", "the template must hold one CN");
  }
  const std::string cn = *name.CommonName();
  const auto marks = [](const std::string& where) { return std::count(where.begin(), where.end(), '?'); };
  const auto outside = marks(text) - marks(cn);
  const bool braces_outside = std::count(text.begin(), text.end(), '{') > std::count(cn.begin(), cn.end(), '{');
  if (outside > 0 || braces_outside) {
    return base::InvalidField(field, "TEMPLATE_PLACEHOLDER_OUTSIDE_CN",
                              "'?' and {…} may stand in the CN only; everything else is fixed");
  }
  if (marks(cn) > 1) {
    return base::InvalidField(field, "TEMPLATE_SEVERAL_PLACEHOLDERS", "the CN may hold one '?'");
  }
  ASSIGN_OR_RETURN(std::vector<Piece> pieces, Split(cn, field));
  const bool any = std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.placeholder; });
  if (!any) {
    return base::InvalidField(field, "TEMPLATE_WITHOUT_PLACEHOLDER",
                              "the CN must contain '?', which becomes the phone's IP address or FQDN");
  }
  return SubjectTemplate(text, std::move(name), field);
}

absl::StatusOr<RenderedSubject> SubjectTemplate::Render(const EndPointNames& names, NameSource source) const {
  ASSIGN_OR_RETURN(std::vector<Piece> pieces, Split(*name_.CommonName(), field_));
  std::string cn;
  for (const Piece& piece : pieces) {
    if (!piece.placeholder) {
      cn += piece.text;
      continue;
    }
    ASSIGN_OR_RETURN(std::string value, Value(piece.text, names, source));
    cn += value;
  }
  ASSIGN_OR_RETURN(DistinguishedName subject, name_.WithCommonName(cn, field_));
  RenderedSubject rendered{std::move(subject), {}};
  if (!names.ip.empty()) rendered.names.ip.push_back(names.ip);
  if (!names.fqdn.empty()) {
    if (!IsHostName(names.fqdn)) {
      return base::InvalidField("fqdn", "FQDN_INVALID", absl::StrCat("\"", names.fqdn, "\" is no host name"));
    }
    rendered.names.dns.push_back(names.fqdn);
  }
  if (IsHostName(cn) && cn.find_first_not_of("0123456789.") != std::string::npos && cn != names.fqdn) {
    rendered.names.dns.push_back(cn);
  }
  return rendered;
}

}  // namespace phonepki::ca
