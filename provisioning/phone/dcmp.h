// DCMP: how a phone behind NAT, which cannot be knocked at, learns that work waits for it. It asks a URL that
// it was given at its start-up, again and again: GET /dcmp/contact-me?device-id=00:1A:E8:00:00:01 over plain
// HTTP (wpi.md 9). Nothing authenticates the poll: its answer tells no more than whether work waits.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include "provisioning/phone/http_door.h"

namespace phonepki::provisioning::phone {

struct DcmpOptions {
  std::string path = "/dcmp/contact-me";  // of the URL that phones are told to ask; without a query
  std::string device_parameter = "device-id";
  // HTTP statuses of the answers. That 200 means "nothing" is in the manufacturer's guide; 202 is known from
  // another server's code only.
  int nothing_status = 200;
  int work_status = 202;  // the phone contacts the DLS with `solicited`
};

// Shall the phone with this MAC (as base::ParseMac gives it) contact us? False for a phone that is not known.
// `address`: whence the poll came, a NAT's outer address as a rule. May block.
using HasWork = std::function<bool(const std::string& mac, const std::string& address)>;

// The MAC of the phone that asks, out of the query, or the form that a POST carries. kInvalidArgument: none,
// two or a malformed one.
absl::StatusOr<std::string> ParsePoll(const HttpRequest& request, const DcmpOptions& options);

// The answer to a poll, without a body, closing the connection: the next poll is minutes away. 400: ParsePoll
// found no MAC, `has_work` was not asked. Nothing: the request is for another path.
std::optional<HttpResponse> AnswerPoll(const HttpRequest& request, const DcmpOptions& options,
                                       const HasWork& has_work);

}  // namespace phonepki::provisioning::phone
