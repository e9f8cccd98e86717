// Subject templates (B-022, C-11, G-20): everything is fixed but the CN, which holds '?' or named placeholders.
// '?' becomes the end point's IP address or FQDN, as NameSource says (B-023); the same names go into the SAN.
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include "ca/x509/certificate.h"
#include "ca/x509/distinguished_name.h"

namespace phonepki::ca {

// What is known of an end point; empty = unknown.
struct EndPointNames {
  std::string mac, ip, fqdn, e164, location;
};

enum class NameSource { kIp, kFqdn, kFqdnThenIp, kIpThenFqdn };
// "ip", "fqdn", "fqdn-then-ip", "ip-then-fqdn". kInvalidArgument NAME_SOURCE.
absl::StatusOr<NameSource> ParseNameSource(const std::string& name, const std::string& field);

struct RenderedSubject {
  DistinguishedName subject;
  SubjectAltNames names;
};

class SubjectTemplate {
 public:
  // kInvalidArgument: TEMPLATE_WITHOUT_COMMON_NAME, TEMPLATE_SEVERAL_COMMON_NAMES, TEMPLATE_WITHOUT_PLACEHOLDER,
  // TEMPLATE_SEVERAL_PLACEHOLDERS (two '?'), TEMPLATE_PLACEHOLDER_OUTSIDE_CN, TEMPLATE_PLACEHOLDER_UNKNOWN, and those
  // of DistinguishedName::Parse. Placeholders: ? {ip} {fqdn} {mac} {e164} {location}; {mac} is upper case with colons.
  static absl::StatusOr<SubjectTemplate> Parse(const std::string& text, const std::string& field);

  // kFailedPrecondition: DEVICE_HAS_NO_IP, DEVICE_HAS_NO_FQDN, DEVICE_HAS_NO_E164, …; kInvalidArgument
  // COMMON_NAME_TOO_LONG, FQDN_INVALID.
  absl::StatusOr<RenderedSubject> Render(const EndPointNames& names, NameSource source) const;

  const std::string& text() const { return text_; }

 private:
  SubjectTemplate(std::string text, DistinguishedName name, std::string field)
      : text_(std::move(text)), name_(std::move(name)), field_(std::move(field)) {}
  std::string text_;
  DistinguishedName name_;
  std::string field_;
};

}  // namespace phonepki::ca
