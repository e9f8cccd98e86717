#include "ca/x509/subject_template.h"

#include <algorithm>
#include <optional>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/network_name.h"
#include "ca/x509/utf8.h"

namespace phonepki::ca {
namespace {

constexpr char kCommonName[] = "2.5.4.3";
constexpr char kOrganizationalUnit[] = "2.5.4.11";

enum class Placeholder { kSource, kMac, kMacLower, kMacPlain, kMacPlainLower, kIp, kFqdn, kE164, kLocation };

struct NamedPlaceholder {
  Placeholder placeholder;
  const char* name;
};
constexpr NamedPlaceholder kPlaceholders[] = {
    {Placeholder::kMac, "mac"},
    {Placeholder::kMacLower, "mac-lower"},
    {Placeholder::kMacPlain, "mac-plain"},
    {Placeholder::kMacPlainLower, "mac-plain-lower"},
    {Placeholder::kIp, "ip"},
    {Placeholder::kFqdn, "fqdn"},
    {Placeholder::kE164, "e164"},
    {Placeholder::kLocation, "location"},
};

struct NamedSource {
  NameSource source;
  const char* name;
};
constexpr NamedSource kSources[] = {
    {NameSource::kIp, "ip"},
    {NameSource::kFqdn, "fqdn"},
    {NameSource::kFqdnThenIp, "fqdn-then-ip"},
    {NameSource::kIpThenFqdn, "ip-then-fqdn"},
};

// A value cut at its placeholders: text, placeholder, text, placeholder, ... text.
struct Pattern {
  std::vector<std::string> texts{""};
  std::vector<Placeholder> placeholders;
};

absl::StatusOr<Pattern> Cut(std::string_view value, const std::string& field) {
  const auto unknown = [&](const std::string& rule) {
    return base::InvalidField(
        field, "TEMPLATE_UNKNOWN_PLACEHOLDER",
        absl::StrCat(rule,
                     "; known are ? {mac} {mac-lower} {mac-plain} {mac-plain-lower} {ip} "
                     "{fqdn} {e164} {location}"));
  };
  Pattern pattern;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '}') return unknown("there is a } without {");
    if (value[i] != '?' && value[i] != '{') {
      pattern.texts.back().push_back(value[i]);
      continue;
    }
    Placeholder placeholder = Placeholder::kSource;
    if (value[i] == '{') {
      const std::size_t end = value.find('}', i);
      if (end == std::string_view::npos) return unknown("there is a { without }");
      const std::string name = absl::AsciiStrToLower(base::ToAbsl(value.substr(i + 1, end - i - 1)));
      const auto known = std::find_if(std::begin(kPlaceholders), std::end(kPlaceholders),
                                      [&](const auto& candidate) { return candidate.name == name; });
      if (known == std::end(kPlaceholders)) {
        return unknown(absl::StrCat("unknown placeholder {", name.substr(0, 40), "}"));
      }
      placeholder = known->placeholder;
      i = end;
    }
    pattern.placeholders.push_back(placeholder);
    pattern.texts.emplace_back();
  }
  return pattern;
}

absl::Status CheckCommonName(const Pattern& pattern, const std::string& field) {
  if (std::count(pattern.placeholders.begin(), pattern.placeholders.end(), Placeholder::kSource) > 1) {
    return base::InvalidField(field, "TEMPLATE_SEVERAL_PLACEHOLDERS", "the CN may hold only one ?");
  }
  const bool distinguishes = std::any_of(pattern.placeholders.begin(), pattern.placeholders.end(),
                                         [](Placeholder p) { return p != Placeholder::kLocation; });
  if (!distinguishes) {
    return base::InvalidField(
        field, "TEMPLATE_WITHOUT_PLACEHOLDER",
        "the CN must hold ? or another placeholder that differs from phone to phone, or all "
        "phones would get the same name; example: C=US, O=Example, CN=?");
  }
  int characters = 0;
  for (const std::string& text : pattern.texts) characters += CountCharacters(text);
  if (characters > static_cast<int>(kMaxCommonNameLength)) {
    return base::InvalidField(field, "TEMPLATE_TOO_LONG",
                              absl::StrCat("the fixed text of the CN alone has ", characters,
                                           " characters; a CN may have 64 in all"));
  }
  return absl::OkStatus();
}

absl::Status CheckOther(const std::string& oid, const Pattern& pattern, const std::string& field) {
  for (const Placeholder placeholder : pattern.placeholders) {
    if (oid == kOrganizationalUnit && placeholder == Placeholder::kLocation) continue;
    return base::InvalidField(field, "TEMPLATE_PLACEHOLDER_OUTSIDE_CN",
                              "placeholders belong into the CN; only {location} may also stand in an OU");
  }
  return absl::OkStatus();
}

std::optional<std::string> Mac(const std::string& text, bool lower, bool plain) {
  std::string digits;
  for (const char c : text) {
    if (c == ':' || c == '-' || c == '.') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
    digits += lower ? absl::ascii_tolower(static_cast<unsigned char>(c))
                    : absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  if (digits.size() != 12) return std::nullopt;
  for (std::size_t i = 10; !plain && i > 0; i -= 2) digits.insert(i, ":");
  return digits;
}

std::optional<std::string> Ip(const std::string& text) {
  const auto octets = ParseIp(text);
  if (!octets || std::all_of(octets->begin(), octets->end(), [](std::uint8_t octet) { return octet == 0; })) {
    return std::nullopt;
  }
  return PrintIp(*octets);
}

std::optional<std::string> Fqdn(const std::string& text) {
  const absl::string_view name = absl::StripSuffix(text, ".");
  if (!IsDnsName(base::ToStd(name))) return std::nullopt;
  return std::string(name);
}

std::optional<std::string> E164(const std::string& text) {
  const absl::string_view digits = absl::StripPrefix(text, "+");
  const bool all_digits = std::all_of(digits.begin(), digits.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  if (digits.empty() || digits.size() > 15 || !all_digits) return std::nullopt;
  return text;
}

std::optional<std::string> Location(const std::string& text) {
  const std::string_view stripped = base::ToStd(absl::StripAsciiWhitespace(text));
  if (stripped.empty() || CountCharacters(stripped) < 0) return std::nullopt;
  std::string_view rest = stripped;
  for (std::uint32_t c; NextCodePoint(&rest, &c);) {
    if (IsControl(c)) return std::nullopt;
  }
  return std::string(stripped);
}

void AddOnce(const std::string& name, std::vector<std::string>* names) {
  if (std::find(names->begin(), names->end(), name) == names->end()) names->push_back(name);
}

// Fills in one device's names, and remembers which of them became part of the subject.
class Renderer {
 public:
  Renderer(const EndPointNames& device, NameSource source) : device_(device), source_(source) {}

  // The first failure is kept in status().
  std::string Fill(const std::string& value) {
    const auto pattern = Cut(value, "template");
    if (!pattern.ok()) {
      status_ = pattern.status();
      return value;
    }
    std::string out = pattern->texts[0];
    for (std::size_t i = 0; i < pattern->placeholders.size(); ++i) {
      absl::StrAppend(&out, Value(pattern->placeholders[i]), pattern->texts[i + 1]);
    }
    return out;
  }

  const absl::Status& status() const { return status_; }
  SubjectAltNames& names() { return names_; }

 private:
  std::string Required(std::optional<std::string> value, const char* reason, const char* what) {
    if (value) return *std::move(value);
    if (status_.ok()) {
      status_ = base::WithReason(absl::FailedPreconditionError(absl::StrCat(
                                     "the template needs ", what, ", and the device has none that is valid")),
                                 reason);
    }
    return "";
  }

  std::string UseIp() {
    const std::string ip = Required(Ip(device_.ip), "DEVICE_HAS_NO_IP", "an IP address");
    if (!ip.empty()) AddOnce(ip, &names_.ip);
    return ip;
  }

  std::string UseFqdn() {
    const std::string fqdn = Required(Fqdn(device_.fqdn), "DEVICE_HAS_NO_FQDN", "a host name (FQDN)");
    if (!fqdn.empty()) AddOnce(fqdn, &names_.dns);
    return fqdn;
  }

  std::string FromSource() {
    if (source_ == NameSource::kIp) return UseIp();
    if (source_ == NameSource::kFqdn) return UseFqdn();
    const bool has_ip = Ip(device_.ip).has_value();
    const bool has_fqdn = Fqdn(device_.fqdn).has_value();
    if (!has_ip && !has_fqdn) return Required(std::nullopt, "DEVICE_HAS_NO_NAME", "an FQDN or an IP address");
    const bool ip = has_ip && (source_ == NameSource::kIpThenFqdn || !has_fqdn);
    return ip ? UseIp() : UseFqdn();
  }

  std::string Value(Placeholder placeholder) {
    constexpr char kNoMac[] = "DEVICE_HAS_NO_MAC";
    constexpr char kMac[] = "a MAC address";
    switch (placeholder) {
      case Placeholder::kSource:
        return FromSource();
      case Placeholder::kMac:
        return Required(Mac(device_.mac, false, false), kNoMac, kMac);
      case Placeholder::kMacLower:
        return Required(Mac(device_.mac, true, false), kNoMac, kMac);
      case Placeholder::kMacPlain:
        return Required(Mac(device_.mac, false, true), kNoMac, kMac);
      case Placeholder::kMacPlainLower:
        return Required(Mac(device_.mac, true, true), kNoMac, kMac);
      case Placeholder::kIp:
        return UseIp();
      case Placeholder::kFqdn:
        return UseFqdn();
      case Placeholder::kE164:
        return Required(E164(device_.e164), "DEVICE_HAS_NO_E164", "a telephone number (E.164)");
      case Placeholder::kLocation:
        return Required(Location(device_.location), "DEVICE_HAS_NO_LOCATION", "a location");
    }
    return "";
  }

  const EndPointNames& device_;
  const NameSource source_;
  SubjectAltNames names_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<NameSource> ParseNameSource(std::string_view name, const std::string& field) {
  for (const auto& [source, known] : kSources) {
    if (name == known) return source;
  }
  return base::InvalidField(field, "NAME_SOURCE_UNKNOWN",
                            absl::StrCat("unknown name source \"", base::ToAbsl(name.substr(0, 40)),
                                         "\"; use ip, fqdn, fqdn-then-ip or ip-then-fqdn"));
}

std::string PrintNameSource(NameSource source) {
  for (const auto& [known, name] : kSources) {
    if (known == source) return name;
  }
  return "unknown";
}

SubjectTemplate::SubjectTemplate(std::string text, DistinguishedName pattern)
    : text_(std::move(text)), pattern_(std::move(pattern)) {}

absl::StatusOr<SubjectTemplate> SubjectTemplate::Parse(std::string_view text, const std::string& field) {
  ASSIGN_OR_RETURN(DistinguishedName pattern, DistinguishedName::ParsePattern(text, field));
  for (const auto& rdn : pattern.rdns()) {
    for (const auto& attribute : rdn) {
      if (attribute.oid == kCommonName) continue;
      ASSIGN_OR_RETURN(const Pattern cut, Cut(attribute.text, field));
      RETURN_IF_ERROR(CheckOther(attribute.oid, cut, field));
    }
  }
  const int count = pattern.CommonNameCount();
  if (count == 0)
    return base::InvalidField(field, "TEMPLATE_WITHOUT_CN", "the template needs a CN, such as CN=?");
  if (count > 1)
    return base::InvalidField(field, "TEMPLATE_SEVERAL_CNS", "the template may have only one CN");
  ASSIGN_OR_RETURN(const Pattern common_name, Cut(*pattern.CommonName(), field));
  RETURN_IF_ERROR(CheckCommonName(common_name, field));
  return SubjectTemplate(std::string(text), std::move(pattern));
}

absl::StatusOr<RenderedSubject> SubjectTemplate::Render(const EndPointNames& device,
                                                        NameSource source) const {
  Renderer renderer(device, source);
  auto subject = pattern_.Rewritten("template", [&](const std::string& oid, const std::string& text) {
    return oid == kCommonName || oid == kOrganizationalUnit ? renderer.Fill(text) : text;
  });
  RETURN_IF_ERROR(renderer.status());
  if (!subject.ok()) {
    const std::string reason = base::ReasonOf(subject.status());
    return base::WithReason(
        absl::FailedPreconditionError(
            absl::StrCat("for this device the template gives no valid name: ", subject.status().message())),
        reason);
  }
  RenderedSubject rendered{*std::move(subject), std::move(renderer.names())};
  // A client that finds alternative names no longer looks at the CN, so a host name there must be among them.
  const std::string common_name = rendered.subject.CommonName().value_or("");
  if (common_name.find('.') != std::string::npos && IsDnsName(common_name))
    AddOnce(common_name, &rendered.names.dns);
  return rendered;
}

}  // namespace phonepki::ca
