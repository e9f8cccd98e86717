#include "provisioning/phone/dcmp.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/mac_address.h"

namespace phonepki::provisioning::phone {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Colons are often sent as %3A. A % that begins no escape stays what it is.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high < 0 ? -1 : HexDigit(text[i + 2]);
    plain.push_back(low < 0 ? text[i] : static_cast<char>(high * 16 + low));
    if (low >= 0) i += 2;
  }
  return plain;
}

std::string_view PathOf(std::string_view target) {
  return target.substr(0, target.find('?'));
}

// Counts every parameter of that name in "a=1&b=2"; `value` becomes the last one's.
int Find(std::string_view parameters, std::string_view name, std::string& value) {
  int found = 0;
  while (!parameters.empty()) {
    const std::string_view one = parameters.substr(0, parameters.find('&'));
    parameters.remove_prefix(std::min(one.size() + 1, parameters.size()));
    const std::size_t equals = one.find('=');
    if (equals == std::string_view::npos || Unescape(one.substr(0, equals)) != name) continue;
    value = Unescape(one.substr(equals + 1));
    ++found;
  }
  return found;
}

}  // namespace

absl::StatusOr<std::string> ParsePoll(const HttpRequest& request, const DcmpOptions& options) {
  const std::string_view target = request.target;
  const std::size_t path = PathOf(target).size();
  std::string device;
  int found = path < target.size() ? Find(target.substr(path + 1), options.device_parameter, device) : 0;
  if (request.method == "POST") found += Find(request.body, options.device_parameter, device);
  if (found != 1) {
    return base::InvalidField(options.device_parameter, "DEVICE_ID", "a poll names one device");
  }
  return base::ParseMac(device);
}

std::optional<HttpResponse> AnswerPoll(const HttpRequest& request, const DcmpOptions& options,
                                       const HasWork& has_work) {
  if (PathOf(request.target) != options.path) return std::nullopt;
  HttpResponse response;
  response.close = true;
  const absl::StatusOr<std::string> mac = ParsePoll(request, options);
  if (!mac.ok()) {
    response.status = 400;
  } else {
    response.status = has_work(*mac, request.remote_address) ? options.work_status : options.nothing_status;
  }
  return response;
}

}  // namespace phonepki::provisioning::phone
