#include "server/config_values.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>

namespace phonepki::server {
namespace {

absl::Status Wrong(const std::string& text, const std::string& rule) {
  return absl::InvalidArgumentError(fmt::format("\"{}\" {}", text, rule));
}

template <typename T>
using Names = std::vector<std::pair<const char*, T>>;

template <typename T>
std::string Join(const Names<T>& names, const char* separator) {
  return absl::StrJoin(names, separator, [](std::string* out, const auto& name) { out->append(name.first); });
}

template <typename T>
absl::Status ParseName(const Names<T>& names, const std::string& text, T* value) {
  for (const auto& [name, candidate] : names) {
    if (text == name) {
      *value = candidate;
      return absl::OkStatus();
    }
  }
  return Wrong(text, "is not one of " + Join(names, ", "));
}

template <typename T>
std::string PrintName(const Names<T>& names, T value) {
  for (const auto& [name, candidate] : names) {
    if (candidate == value) return name;
  }
  return "";
}

// Address octets in network order, or empty.
std::vector<std::uint8_t> AddressOctets(const std::string& text) {
  std::vector<std::uint8_t> octets(16);
  if (inet_pton(AF_INET6, text.c_str(), octets.data()) == 1) return octets;
  octets.resize(4);
  if (inet_pton(AF_INET, text.c_str(), octets.data()) == 1) return octets;
  return {};
}

}  // namespace

#define NAMED_VALUE(T, ...)                                               \
  static const Names<T>& NamesOf(T) {                                     \
    static const auto* names = new Names<T> __VA_ARGS__;                  \
    return *names;                                                        \
  }                                                                       \
  std::string ConfigValue<T>::Type() {                                    \
    return Join(NamesOf(T{}), " | ");                                     \
  }                                                                       \
  absl::Status ConfigValue<T>::Parse(const std::string& text, T* value) { \
    return ParseName(NamesOf(T{}), text, value);                          \
  }                                                                       \
  std::string ConfigValue<T>::Print(const T& value) {                     \
    return PrintName(NamesOf(T{}), value);                                \
  }                                                                       \
  static_assert(std::is_enum_v<T>)

NAMED_VALUE(TlsPolicy, {{"default", TlsPolicy::kDefault}, {"legacy", TlsPolicy::kLegacy}});
NAMED_VALUE(DoorKeyAlgorithm,
            {{"rsa2048", DoorKeyAlgorithm::kRsa2048}, {"ecdsa-p256", DoorKeyAlgorithm::kEcdsaP256}});
NAMED_VALUE(Admission, {{"open", Admission::kOpen},
                        {"known-devices", Admission::kKnownDevices},
                        {"networks", Admission::kNetworks}});
NAMED_VALUE(Pkcs12Encryption, {{"legacy-3des-sha1", Pkcs12Encryption::kLegacy3DesSha1},
                               {"aes256-sha256", Pkcs12Encryption::kAes256Sha256}});
NAMED_VALUE(RsaGenerator, {{"nettle", RsaGenerator::kNettle}, {"openssl", RsaGenerator::kOpenSsl}});
NAMED_VALUE(DoorRefusal, {{"clean-up", DoorRefusal::kCleanUp}, {"forbidden", DoorRefusal::kForbidden}});
NAMED_VALUE(WpiActivation, {{"none", WpiActivation::kNone}, {"restart", WpiActivation::kRestart}});
NAMED_VALUE(KnockAdvertise, {{"none", KnockAdvertise::kNone},
                             {"default-mode", KnockAdvertise::kDefaultMode},
                             {"all", KnockAdvertise::kAll}});
NAMED_VALUE(PinAlphabet, {{"digits", PinAlphabet::kDigits}, {"letters", PinAlphabet::kLetters}});
NAMED_VALUE(base::LogLevel, {{"debug", base::LogLevel::kDebug},
                             {"info", base::LogLevel::kInfo},
                             {"warn", base::LogLevel::kWarn},
                             {"error", base::LogLevel::kError}});
#undef NAMED_VALUE

std::string ConfigValue<std::string>::Type() {
  return "text";
}
absl::Status ConfigValue<std::string>::Parse(const std::string& text, std::string* value) {
  *value = text;
  return absl::OkStatus();
}
std::string ConfigValue<std::string>::Print(const std::string& value) {
  return value;
}

std::string ConfigValue<std::vector<std::string>>::Type() {
  return "list";
}
absl::Status ConfigValue<std::vector<std::string>>::Parse(const std::string& text,
                                                          std::vector<std::string>* value) {
  value->clear();
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (!part.empty()) value->emplace_back(part);
  }
  return absl::OkStatus();
}
std::string ConfigValue<std::vector<std::string>>::Print(const std::vector<std::string>& value) {
  return absl::StrJoin(value, ",");
}

std::string ConfigValue<bool>::Type() {
  return "true | false";
}
absl::Status ConfigValue<bool>::Parse(const std::string& text, bool* value) {
  if (text != "true" && text != "false") return Wrong(text, "is neither true nor false");
  *value = text == "true";
  return absl::OkStatus();
}
std::string ConfigValue<bool>::Print(const bool& value) {
  return value ? "true" : "false";
}

std::string ConfigValue<int>::Type() {
  return "number";
}
absl::Status ConfigValue<int>::Parse(const std::string& text, int* value) {
  return absl::SimpleAtoi(text, value) ? absl::OkStatus() : Wrong(text, "is not a whole number");
}
std::string ConfigValue<int>::Print(const int& value) {
  return std::to_string(value);
}

std::string ConfigValue<double>::Type() {
  return "number";
}
absl::Status ConfigValue<double>::Parse(const std::string& text, double* value) {
  double number = 0;
  if (!absl::SimpleAtod(text, &number) || !std::isfinite(number)) return Wrong(text, "is not a number");
  *value = number;
  return absl::OkStatus();
}
std::string ConfigValue<double>::Print(const double& value) {
  return fmt::format("{}", value);
}

std::string ConfigValue<absl::Duration>::Type() {
  return "duration";
}
absl::Status ConfigValue<absl::Duration>::Parse(const std::string& text, absl::Duration* value) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration() ||
      duration < absl::ZeroDuration() || text == "0") {
    return Wrong(text, "is not a duration; write it with its unit, like 500ms, 10s, 5m or 72h");
  }
  *value = duration;
  return absl::OkStatus();
}
std::string ConfigValue<absl::Duration>::Print(const absl::Duration& value) {
  const std::pair<absl::Duration, const char*> units[] = {
      {absl::Hours(1), "h"}, {absl::Minutes(1), "m"}, {absl::Seconds(1), "s"}, {absl::Milliseconds(1), "ms"}};
  for (const auto& [unit, suffix] : units) {
    if (value >= unit && value % unit == absl::ZeroDuration())
      return fmt::format("{}{}", value / unit, suffix);
  }
  return value == absl::ZeroDuration() ? "0s" : absl::FormatDuration(value);
}

std::string ConfigValue<ListenAddress>::Type() {
  return "address:port";
}
absl::Status ConfigValue<ListenAddress>::Parse(const std::string& text, ListenAddress* value) {
  absl::StatusOr<ListenAddress> address = ListenAddress::Parse(text);
  if (!address.ok()) return address.status();
  *value = *std::move(address);
  return absl::OkStatus();
}
std::string ConfigValue<ListenAddress>::Print(const ListenAddress& value) {
  return value.ToString();
}

absl::StatusOr<ListenAddress> ListenAddress::Parse(const std::string& text) {
  if (text.empty()) return ListenAddress{};
  const std::size_t colon = text.rfind(':');
  ListenAddress address;
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    const bool bracketed =
        address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']';
    if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
    const bool six = address.host.find(':') != std::string::npos;
    if (bracketed == six && IsIpAddress(address.host) &&
        absl::SimpleAtoi(text.substr(colon + 1), &address.port) && address.port >= 0 &&
        address.port <= 65535) {
      return address;
    }
  }
  return Wrong(text, "is not an address with a port, like 0.0.0.0:9443, 127.0.0.1:0 or [::]:9443");
}

std::string ListenAddress::ToString() const {
  if (!enabled()) return "";
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

bool ListenAddress::loopback() const {
  return host == "::1" || host.rfind("127.", 0) == 0;
}

bool IsIpAddress(const std::string& text) {
  return !AddressOctets(text).empty();
}

bool IsReadableFile(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) && access(path.c_str(), R_OK) == 0;
}

std::string CidrProblem(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  const std::vector<std::uint8_t> octets = AddressOctets(parts.first);
  int prefix = 0;
  if (octets.empty() || !absl::SimpleAtoi(parts.second, &prefix) || prefix < 0 ||
      prefix > static_cast<int>(octets.size()) * 8) {
    return fmt::format("\"{}\" is not a network, like 10.1.0.0/16 or fd00::/8", text);
  }
  for (int bit = prefix; bit < static_cast<int>(octets.size()) * 8; ++bit) {
    if (octets[bit / 8] >> (7 - bit % 8) & 1) {
      return fmt::format("\"{}\" has bits set behind its /{}; write the network's own address", text, prefix);
    }
  }
  return "";
}

bool UrlHasPassword(const std::string& url) {
  const std::string lower = absl::AsciiStrToLower(url);
  if (lower.find("password=") != std::string::npos || lower.find("password =") != std::string::npos)
    return true;
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return false;
  const std::string authority = url.substr(scheme + 3, url.find_first_of("/?", scheme + 3) - (scheme + 3));
  const std::size_t at = authority.rfind('@');
  return at != std::string::npos && authority.substr(0, at).find(':') != std::string::npos;
}

}  // namespace phonepki::server
