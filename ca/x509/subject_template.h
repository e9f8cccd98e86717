// Subject templates: a distinguished name that is fixed except for what differs from phone to phone.
//   C=US, ST=FL, L=Boca Raton, O=Unify, OU=Sales, CN=?
// '?' becomes the phone's IP address or FQDN, as an explicit NameSource says. Beside it, in the CN:
//   {mac} 00:1A:E8:12:34:56    {mac-lower} 00:1a:e8:12:34:56    {mac-plain} 001AE8123456
//   {mac-plain-lower} 001ae8123456    {e164}  {ip}  {fqdn}  {location}
// and {location} in an OU. Names are not case sensitive. Pure logic, no I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "ca/x509/distinguished_name.h"
#include "ca/x509/profile.h"

namespace phonepki::ca {

// What is known of an end point; empty = unknown.
struct EndPointNames {
  std::string mac = {};  // 12 hexadecimal digits with or without ':', '-' or '.'
  std::string ip = {};
  std::string fqdn = {};
  std::string e164 = {};
  std::string location = {};
};

// What '?' stands for.
enum class NameSource { kIp, kFqdn, kFqdnThenIp, kIpThenFqdn };

// "ip", "fqdn", "fqdn-then-ip", "ip-then-fqdn". kInvalidArgument on `field`, reason NAME_SOURCE_UNKNOWN.
absl::StatusOr<NameSource> ParseNameSource(std::string_view name, const std::string& field);
std::string PrintNameSource(NameSource source);

struct RenderedSubject {
  DistinguishedName subject;
  // The device names that were used, and the common name itself where it is a host name of two or more
  // labels.
  SubjectAltNames names;
};

class SubjectTemplate {
 public:
  // kInvalidArgument on `field`: the reasons of DistinguishedName::Parse, and TEMPLATE_WITHOUT_PLACEHOLDER
  // (nothing in the CN differs from phone to phone), TEMPLATE_SEVERAL_PLACEHOLDERS (two '?'),
  // TEMPLATE_PLACEHOLDER_OUTSIDE_CN, TEMPLATE_UNKNOWN_PLACEHOLDER, TEMPLATE_WITHOUT_CN, TEMPLATE_SEVERAL_CNS,
  // TEMPLATE_TOO_LONG (the fixed text of the CN alone is over 64 characters).
  static absl::StatusOr<SubjectTemplate> Parse(std::string_view text, const std::string& field);

  // kFailedPrecondition: DEVICE_HAS_NO_IP, _FQDN, _NAME (neither, where either would do), _MAC, _E164,
  // _LOCATION (unknown or not usable in a certificate), COMMON_NAME_TOO_LONG.
  absl::StatusOr<RenderedSubject> Render(const EndPointNames& device, NameSource source) const;

  const std::string& text() const { return text_; }

 private:
  SubjectTemplate(std::string text, DistinguishedName pattern);

  std::string text_;
  DistinguishedName pattern_;
};

}  // namespace phonepki::ca
