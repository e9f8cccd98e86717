// Which location takes a phone. Pure: rules in, location out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include "db/location_repository.h"

namespace phonepki::provisioning {

// kInvalidArgument RULE_KIND, RULE_CIDR, RULE_E164, RULE_DEVICE_TYPE, RULE_DEVICE. On success `rule.value` is
// in its canonical form.
absl::Status CheckLocationRule(db::LocationRuleRecord& rule, const std::string& field);

class LocationResolver {
 public:
  // The default location must be among them.
  explicit LocationResolver(const std::vector<db::LocationRecord>& locations);

  // The highest priority wins, then the more specific rule, then the older location.
  std::int64_t Resolve(const db::PlacementRecord& device) const;

 private:
  struct Candidate {
    int priority;
    int specificity;
    std::int64_t location_id;
  };
  struct Network {
    std::string octets;  // of the network address
    int bits;
    Candidate candidate;
  };
  struct Pattern {
    std::string text;
    bool prefix;
    Candidate candidate;
  };
  static bool Better(const Candidate& a, const Candidate& b);

  std::int64_t default_location_ = 0;
  absl::flat_hash_map<std::string, Candidate> devices_;
  std::vector<Network> networks_;
  std::vector<Pattern> e164_;
  std::vector<Pattern> types_;
};

}  // namespace phonepki::provisioning
