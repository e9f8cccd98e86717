// What we do to a phone: knock (contact-me, wpi.md 1.5) and look at the certificate that its web server
// serves. Both are asynchronous; results arrive on a thread of the IoRuntime and must be taken without
// blocking.
#pragma once

#include <functional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "provisioning/phone/io_runtime.h"

namespace phonepki::provisioning::phone {

struct KnockTarget {
  std::string address;
  int port = 8085;
  std::string path = "/contact_dls.html/ContactDLS";
  std::string dls_address;  // empty: the phone calls the server it is configured for
  int dls_port = 0;
};

// From contact-me-uri. The host of the URI is not believed: `address` is where the phone was seen.
// kInvalidArgument CONTACT_ME_URI.
absl::StatusOr<KnockTarget> ParseContactMeUri(const std::string& uri, const std::string& address);

// Answered 204: OK. kUnavailable: nobody there; kDeadlineExceeded: no answer in time; kFailedPrecondition:
// some other answer.
void Knock(IoRuntime& io, const KnockTarget& target, absl::Duration timeout,
           std::function<void(absl::Status)> done);

struct ProbeResult {
  absl::Status status;  // kUnavailable, kDeadlineExceeded
  base::Bytes leaf_der;
};
// Shakes hands as a client that trusts nobody yet takes any certificate, TLS 1.0 and up, and leaves.
void Probe(IoRuntime& io, const std::string& address, int port, absl::Duration timeout,
           std::function<void(ProbeResult)> done);

}  // namespace phonepki::provisioning::phone
