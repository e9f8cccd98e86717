// What a kind of certificate looks like (C-16, C-19, design.md 8): extensions and limits come from here, never from
// a requester.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

namespace phonepki::ca {

enum class CertificateKind { kCa, kWbmServer, kSpe, kTlsServer, kTlsClient };

// "ca", "wbm", "spe", "tls-server", "tls-client".
std::string PrintCertificateKind(CertificateKind kind);
absl::StatusOr<CertificateKind> ParseCertificateKind(const std::string& name, const std::string& field);

// 2038-01-19T03:14:07Z, the last second of a 32-bit clock (C-05).
inline absl::Time Year2038Limit() { return absl::FromUnixSeconds(2147483647); }

struct Profile {
  CertificateKind kind = CertificateKind::kTlsServer;
  bool ca = false;
  std::optional<int> path_len;
  int key_usage = 0;                    // KU_… bits; keyEncipherment is left out for keys that cannot encipher
  std::vector<int> extended_key_usage;  // NIDs
  bool key_usage_critical = false;      // C-19: some peers fail on any critical extension but basicConstraints
  bool allow_past_2038 = false;
  bool allow_legacy_keys = false;       // RSA 1024
};

Profile ProfileOf(CertificateKind kind);

}  // namespace phonepki::ca
