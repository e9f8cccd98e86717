#include "provisioning/devices/location_resolver.h"

#include <algorithm>
#include <optional>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "base/error.h"
#include "base/mac_address.h"
#include "base/status_macros.h"
#include "ca/x509/network_name.h"

namespace phonepki::provisioning {
namespace {

// Empty when it is no address.
std::string AddressOctets(const std::string& text) {
  const base::Bytes octets = ca::UnmapIp(ca::ParseIp(text).value_or(base::Bytes()));
  return std::string(octets.begin(), octets.end());
}

struct Cidr {
  std::string octets;
  int bits;
};

std::optional<Cidr> ParseCidr(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  Cidr cidr{AddressOctets(parts[0]), 0};
  if (cidr.octets.empty() || parts.size() > 2) return std::nullopt;
  const int all = static_cast<int>(cidr.octets.size()) * 8;
  cidr.bits = all;
  // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
  const int unmapped = all == 32 && absl::StrContains(parts[0], ':') ? 96 : 0;
  if (parts.size() == 2) {
    if (!absl::SimpleAtoi(parts[1], &cidr.bits)) return std::nullopt;
    cidr.bits -= unmapped;
  }
  if (cidr.bits < 0 || cidr.bits > all) return std::nullopt;
  for (int bit = cidr.bits; bit < all; ++bit) {
    cidr.octets[bit / 8] = static_cast<char>(cidr.octets[bit / 8] & ~(0x80 >> (bit % 8)));
  }
  return cidr;
}

bool InNetwork(const std::string& address, const std::string& network, int bits) {
  if (address.size() != network.size()) return false;
  const int whole = bits / 8;
  if (address.compare(0, whole, network, 0, whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const int mask = 0xff00 >> (bits % 8) & 0xff;
  return (address[whole] & mask) == (network[whole] & mask);
}

// More specific than any network or prefix.
constexpr int kDeviceSpecificity = 1000;

}  // namespace

absl::Status CheckLocationRule(db::LocationRuleRecord& rule, const std::string& field) {
  if (rule.value.size() > 200 || rule.value.find('\0') != std::string::npos) {
    return base::InvalidField(field, "RULE_TOO_LONG", "at most 200 octets, and no NUL");
  }
  if (rule.kind == "cidr") {
    const std::optional<Cidr> cidr = ParseCidr(rule.value);
    if (!cidr)
      return base::InvalidField(field, "RULE_CIDR", absl::StrCat("\"", rule.value, "\" is no CIDR range"));
    rule.value =
        absl::StrCat(ca::PrintIp(base::Bytes(cidr->octets.begin(), cidr->octets.end())), "/", cidr->bits);
    return absl::OkStatus();
  }
  if (rule.kind == "e164_prefix") {
    if (rule.value.empty() || rule.value.size() > 15 ||
        rule.value.find_first_not_of("0123456789") != std::string::npos) {
      return base::InvalidField(field, "RULE_E164", "an E.164 prefix has 1 to 15 digits and nothing else");
    }
    return absl::OkStatus();
  }
  if (rule.kind == "device_type") {
    if (rule.value.empty() || rule.value == "*" || rule.value.find('*') < rule.value.size() - 1) {
      return base::InvalidField(field, "RULE_DEVICE_TYPE", "a device type, which may end in '*'");
    }
    return absl::OkStatus();
  }
  if (rule.kind == "device") {
    absl::StatusOr<std::string> mac = base::ParseMac(rule.value);
    if (!mac.ok())
      return base::InvalidField(field, "RULE_DEVICE", absl::StrCat("\"", rule.value, "\" is no MAC address"));
    rule.value = *mac;
    return absl::OkStatus();
  }
  return base::InvalidField(field, "RULE_KIND", "must be CIDR, E164_PREFIX, DEVICE_TYPE or DEVICE");
}

LocationResolver::LocationResolver(const std::vector<db::LocationRecord>& locations) {
  for (const db::LocationRecord& location : locations) {
    if (location.is_default) default_location_ = location.id;
    for (const db::LocationRuleRecord& rule : location.rules) {
      Candidate candidate{location.priority, 0, location.id};
      if (rule.kind == "device") {
        candidate.specificity = kDeviceSpecificity;
        const auto [known, added] = devices_.try_emplace(rule.value, candidate);
        if (!added && Better(candidate, known->second)) known->second = candidate;
      } else if (rule.kind == "cidr") {
        const std::optional<Cidr> cidr = ParseCidr(rule.value);
        if (!cidr) continue;
        candidate.specificity = cidr->bits;
        networks_.push_back({cidr->octets, cidr->bits, candidate});
      } else {
        const bool prefix = rule.kind == "e164_prefix" || absl::EndsWith(rule.value, "*");
        std::string text = rule.value;
        if (rule.kind == "device_type" && prefix) text.pop_back();
        candidate.specificity = static_cast<int>(text.size()) + (prefix ? 0 : 1);
        (rule.kind == "e164_prefix" ? e164_ : types_).push_back({text, prefix, candidate});
      }
    }
  }
}

bool LocationResolver::Better(const Candidate& a, const Candidate& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (a.specificity != b.specificity) return a.specificity > b.specificity;
  return a.location_id < b.location_id;
}

std::int64_t LocationResolver::Resolve(const db::PlacementRecord& device) const {
  std::optional<Candidate> best;
  const auto offer = [&](const Candidate& candidate) {
    if (!best || Better(candidate, *best)) best = candidate;
  };
  if (const auto named = devices_.find(device.mac); named != devices_.end()) offer(named->second);
  if (const std::string address = AddressOctets(device.ip_address); !address.empty()) {
    for (const Network& network : networks_) {
      if (InNetwork(address, network.octets, network.bits)) offer(network.candidate);
    }
  }
  for (const Pattern& pattern : e164_) {
    if (!device.e164.empty() && absl::StartsWith(device.e164, pattern.text)) offer(pattern.candidate);
  }
  for (const Pattern& pattern : types_) {
    if (pattern.prefix ? absl::StartsWith(device.device_type, pattern.text)
                       : device.device_type == pattern.text) {
      offer(pattern.candidate);
    }
  }
  return best ? best->location_id : default_location_;
}

}  // namespace phonepki::provisioning
