#include "provisioning/secure_mode/secure_mode_data.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "provisioning/secure_mode/cms_codec.h"

namespace phonepki::provisioning {
namespace {

constexpr std::size_t kMaxName = 64;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// Base64, PEM and numbers need no more. Old firmware does not know &lt; &gt; &amp;, and a parser would change
// other control characters.
bool IsValueCharacter(std::uint8_t c) {
  return c == '\n' || (c >= 0x20 && c < 0x7f && c != '<' && c != '>' && c != '&');
}

absl::Status CheckItem(const SecureModeItem& item) {
  const std::string& name = item.name;
  if (name.empty() || name.size() > kMaxName || !std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return base::InvalidField("items", "SECURE_MODE_ITEM",
                              "the name of an item must consist of letters, digits and hyphens");
  }
  const base::Secret& value = item.value;
  if (!std::all_of(value.data(), value.data() + value.size(), IsValueCharacter)) {
    return base::InvalidField(
        "items", "SECURE_MODE_ITEM",
        absl::StrCat("the value of ", name, " must be ASCII text without < > & and control characters"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SecureModeDataTooLarge() {
  return base::InvalidField(
      "items", "SECURE_MODE_DATA_TOO_LARGE",
      absl::StrCat("the credentials of the phone do not fit into one message to it (", kMaxSecureModeData,
                   " characters); use smaller keys or shorter chains"));
}

absl::StatusOr<base::Secret> PrintItemList(const std::vector<SecureModeItem>& items) {
  std::size_t size = 64;
  for (const SecureModeItem& item : items) {
    RETURN_IF_ERROR(CheckItem(item));
    size += item.name.size() + item.value.size() + 48;
  }
  if (size > kMaxSecureModeData) return SecureModeDataTooLarge();
  std::string text;
  text.reserve(size);  // one allocation: no copy of key material stays behind in an outgrown buffer
  text += "<ItemList>";
  for (const SecureModeItem& item : items) {
    text += "<Item name=\"" + item.name;
    if (item.index) text += "\" index=\"" + std::to_string(*item.index);
    text += "\">";
    text += item.value.view();
    text += "</Item>";
  }
  text += "</ItemList>";
  base::Secret printed{std::string_view(text)};
  base::WipeMemory(text.data(), text.size());
  return printed;
}

absl::StatusOr<std::unique_ptr<SecureModeDataCodec>> MakeSecureModeDataCodec(std::string_view name,
                                                                             const std::string& field) {
  if (name == CmsCodec::kName) return std::make_unique<CmsCodec>(CmsCodec::kDefaultIterations);
  return base::InvalidField(field, "SECURE_MODE_CODEC_UNKNOWN", absl::StrCat("must be ", CmsCodec::kName));
}

}  // namespace phonepki::provisioning
