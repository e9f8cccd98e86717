#include "cli/names.h"

#include <random>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::cli {
namespace {

absl::StatusOr<std::string> MacDigits(const std::string& text, const std::string& field) {
  std::string digits;
  for (const char c : text) {
    if (c == ':' || c == '-' || c == '.') continue;
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c)) || digits.size() == 12) {
      return base::InvalidField(field, "MAC", absl::StrCat("\"", text, "\" is no MAC address"));
    }
    digits += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return digits;
}

std::string WithColons(const std::string& digits) {
  std::string mac;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && i % 2 == 0) mac += ':';
    mac += digits[i];
  }
  return mac;
}

}  // namespace

std::string ResourceName(const std::string& collection, const std::string& text) {
  if (text.empty() || absl::StartsWith(text, absl::StrCat(collection, "/"))) return text;
  return absl::StrCat(collection, "/", text);
}

absl::StatusOr<std::string> DeviceName(const std::string& text) {
  if (text.empty()) return text;
  ASSIGN_OR_RETURN(std::string digits, MacDigits(std::string(absl::StripPrefix(text, "devices/")), "device"));
  if (digits.size() != 12)
    return base::InvalidField("device", "MAC", absl::StrCat("\"", text, "\" is no MAC address"));
  return absl::StrCat("devices/", WithColons(digits));
}

absl::StatusOr<std::string> MacPrefix(const std::string& text) {
  ASSIGN_OR_RETURN(std::string digits, MacDigits(text, "mac_prefix"));
  return WithColons(digits);
}

absl::Status ParseProperties(const std::vector<std::string>& texts, const std::string& field,
                             google::protobuf::RepeatedPtrField<common::v1::Property>* properties) {
  for (const std::string& text : texts) {
    const std::size_t at = text.find('=');
    if (at == std::string::npos || at == 0) {
      return base::InvalidField(field, "PROPERTY_FORMAT", absl::StrCat("\"", text, "\" must be name=value"));
    }
    common::v1::Property* property = properties->Add();
    property->set_name(text.substr(0, at));
    property->set_value(text.substr(at + 1));
  }
  return absl::OkStatus();
}

std::string NewRequestId() {
  std::random_device random;
  const auto word = [&] { return static_cast<unsigned>(random()); };
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%08x%04x", word(), word() & 0xFFFF, word() & 0xFFF,
                         0x8000 | (word() & 0x3FFF), word(), word() & 0xFFFF);
}

}  // namespace phonepki::cli
