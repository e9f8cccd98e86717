// The properties of plug-ins and the request parameters of connectors, and what they mean together (B-021 to
// B-023, B-034). Unknown names are kept and flagged.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "ca/x509/key.h"
#include "ca/x509/subject_template.h"
#include "db/plugin_repository.h"

namespace phonepki::provisioning {

namespace property {
inline constexpr char kValidityDays[] = "internal.default.validity.days";
inline constexpr char kTemplate[] = "internal.x509name.template";
inline constexpr char kNameSource[] = "internal.x509name.source";
inline constexpr char kKeyAlgorithm[] = "internal.key.algorithm";
inline constexpr char kAllowLegacy[] = "internal.key.allow-legacy";
inline constexpr char kAllowPast2038[] = "internal.validity.allow-past-2038";
}  // namespace property

bool IsKnownProperty(const std::string& name);
// kInvalidArgument naming the property as field: each value by itself. Unknown names pass.
absl::Status CheckProperties(const db::Properties& properties);
// `changes` over `base`: set or replace, then remove. Sorted.
db::Properties MergeProperties(const db::Properties& base, const db::Properties& set,
                               const std::vector<std::string>& remove = {});

struct IssuancePolicy {
  ca::SubjectTemplate subject_template;
  ca::NameSource name_source;
  int validity_days;
  ca::KeyAlgorithm key_algorithm;
  bool allow_legacy;
  bool allow_past_2038;
};
// kFailedPrecondition TEMPLATE_MISSING.
absl::StatusOr<IssuancePolicy> ReadPolicy(const db::Properties& effective);

}  // namespace phonepki::provisioning
