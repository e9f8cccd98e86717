#include "provisioning/delivery/session_cookie.h"

#include <openssl/rand.h>

#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "ca/x509/certificate.h"

namespace phonepki::provisioning {
namespace {

constexpr char kCookieName[] = "JSESSIONID";

}  // namespace

std::string NewCookie() {
  unsigned char octets[16];
  RAND_bytes(octets, sizeof octets);
  return absl::AsciiStrToUpper(
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(octets), sizeof octets)));
}

base::Bytes CookieHash(const std::string& cookie) {
  return ca::Sha256(base::Bytes(cookie.begin(), cookie.end()));
}

std::string PrintSetCookie(const std::string& cookie) {
  return absl::StrCat(kCookieName, "=", cookie, "; Path=/; Secure; HttpOnly");
}

std::vector<std::string> ReadSessionCookies(const std::string& header) {
  std::vector<std::string> values;
  for (absl::string_view part : absl::StrSplit(header, absl::ByAnyChar(";,"))) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (absl::StripAsciiWhitespace(pair.first) != kCookieName) continue;
    const absl::string_view value = absl::StripAsciiWhitespace(pair.second);
    if (!value.empty() && value.size() <= 128) values.emplace_back(value);
  }
  return values;
}

}  // namespace phonepki::provisioning
