#include "provisioning/pki/properties.h"

#include <map>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::provisioning {
namespace {

constexpr int kMaxDays = 36500;

absl::StatusOr<int> ParseDays(const std::string& value) {
  int days = 0;
  if (!absl::SimpleAtoi(value, &days) || days < 1 || days > kMaxDays) {
    return base::InvalidField(
        property::kValidityDays, "VALIDITY_DAYS",
        absl::StrCat("\"", value, "\" must be a whole number of days, 1 to ", kMaxDays));
  }
  return days;
}

absl::StatusOr<bool> ParseSwitch(const std::string& name, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  return base::InvalidField(name, "PROPERTY_VALUE", "must be true or false");
}

absl::Status CheckOne(const std::string& name, const std::string& value) {
  if (name == property::kValidityDays) return ParseDays(value).status();
  if (name == property::kTemplate) return ca::SubjectTemplate::Parse(value, name).status();
  if (name == property::kNameSource) return ca::ParseNameSource(value, name).status();
  if (name == property::kKeyAlgorithm) return ca::ParseKeyAlgorithm(value, name).status();
  if (name == property::kAllowLegacy || name == property::kAllowPast2038)
    return ParseSwitch(name, value).status();
  return absl::OkStatus();
}

std::string ValueOr(const db::Properties& properties, const char* name, const char* otherwise) {
  for (const auto& [known, value] : properties) {
    if (known == name) return value;
  }
  return otherwise;
}

}  // namespace

bool IsKnownProperty(const std::string& name) {
  for (const char* known : {property::kValidityDays, property::kTemplate, property::kNameSource,
                            property::kKeyAlgorithm, property::kAllowLegacy, property::kAllowPast2038}) {
    if (name == known) return true;
  }
  return false;
}

absl::Status CheckProperties(const db::Properties& properties) {
  for (const auto& [name, value] : properties) {
    if (name.empty() || name.size() > 200 || value.size() > 4000 ||
        absl::StrCat(name, value).find('\0') != std::string::npos) {
      return base::InvalidField("properties", "PROPERTY_VALUE",
                                "a name has 1 to 200, a value at most 4000 octets, and neither a NUL");
    }
    RETURN_IF_ERROR(CheckOne(name, value));
  }
  const bool legacy = ValueOr(properties, property::kAllowLegacy, "false") == "true";
  if (ValueOr(properties, property::kKeyAlgorithm, "rsa2048") == "rsa1024" && !legacy) {
    return base::InvalidField(property::kKeyAlgorithm, "KEY_TOO_WEAK",
                              "rsa1024 needs internal.key.allow-legacy = true");
  }
  return absl::OkStatus();
}

db::Properties MergeProperties(const db::Properties& base, const db::Properties& set,
                               const std::vector<std::string>& remove) {
  std::map<std::string, std::string> merged(base.begin(), base.end());
  for (const auto& [name, value] : set) merged[name] = value;
  for (const std::string& name : remove) merged.erase(name);
  return db::Properties(merged.begin(), merged.end());
}

absl::StatusOr<IssuancePolicy> ReadPolicy(const db::Properties& effective) {
  const std::string text = ValueOr(effective, property::kTemplate, "");
  if (text.empty()) {
    return base::WithField(
        base::WithReason(absl::FailedPreconditionError(
                             "set internal.x509name.template first, for example C=US, O=Unify, CN=?"),
                         "TEMPLATE_MISSING"),
        property::kTemplate);
  }
  RETURN_IF_ERROR(CheckProperties(effective));
  ASSIGN_OR_RETURN(ca::SubjectTemplate subject, ca::SubjectTemplate::Parse(text, property::kTemplate));
  ASSIGN_OR_RETURN(ca::NameSource source, ca::ParseNameSource(ValueOr(effective, property::kNameSource, "ip"),
                                                              property::kNameSource));
  ASSIGN_OR_RETURN(int days, ParseDays(ValueOr(effective, property::kValidityDays, "1095")));
  ASSIGN_OR_RETURN(
      ca::KeyAlgorithm algorithm,
      ca::ParseKeyAlgorithm(ValueOr(effective, property::kKeyAlgorithm, "rsa2048"), property::kKeyAlgorithm));
  return IssuancePolicy{std::move(subject),
                        source,
                        days,
                        algorithm,
                        ValueOr(effective, property::kAllowLegacy, "false") == "true",
                        ValueOr(effective, property::kAllowPast2038, "false") == "true"};
}

}  // namespace phonepki::provisioning
