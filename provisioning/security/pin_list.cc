#include "provisioning/security/pin_list.h"

#include <string_view>

#include "base/bytes.h"

namespace phonepki::provisioning {
namespace {

constexpr char kHead[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"robots\" content=\"noindex\">\n<style>\n"
    "body { font-family: sans-serif; }\n"
    "table { border-collapse: collapse; }\n"
    "th, td { border: 1px solid #888; padding: 0.3em 0.8em; text-align: left; }\n"
    "td.pin { font-family: monospace; font-size: 120%; letter-spacing: 0.1em; }\n"
    "tr { page-break-inside: avoid; }\n</style>\n";
constexpr std::size_t kRowSize = 200;

class Page {
 public:
  // Octets that were PINs must not stay behind when the page grows: it does not grow if `capacity` will do.
  explicit Page(std::size_t capacity) { octets_.reserve(capacity); }

  Page& Raw(std::string_view text) {
    for (const char c : text) octets_.push_back(static_cast<std::uint8_t>(c));
    return *this;
  }
  Page& Text(std::string_view text) {
    for (const char c : text) {
      switch (c) {
        case '&':
          Raw("&amp;");
          break;
        case '<':
          Raw("&lt;");
          break;
        case '>':
          Raw("&gt;");
          break;
        case '"':
          Raw("&quot;");
          break;
        case '\'':
          Raw("&#39;");
          break;
        default:
          octets_.push_back(static_cast<std::uint8_t>(c));
      }
    }
    return *this;
  }
  base::Secret Finish() && { return base::Secret(std::move(octets_)); }

 private:
  base::Bytes octets_;
};

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone());
}

}  // namespace

base::Secret PrintPinList(const std::string& location, const std::vector<PinListRow>& rows, absl::Time now,
                          absl::Time expires_at) {
  std::size_t size = sizeof kHead + 2000 + 12 * location.size();
  for (const PinListRow& row : rows)
    size += kRowSize + 6 * (row.mac.size() + row.e164.size() + row.pin.size());
  Page page(size);
  page.Raw(kHead).Raw("<title>Security PINs: ").Text(location).Raw("</title>\n</head>\n<body>\n");
  page.Raw("<h1>Security PINs: ").Text(location).Raw("</h1>\n<p>Printed ").Text(TimeText(now));
  page.Raw(". These PINs are shown this once; new ones expire ").Text(TimeText(expires_at));
  page.Raw(".</p>\n<table>\n<thead><tr><th>MAC</th><th>E.164</th><th>PIN</th></tr></thead>\n<tbody>\n");
  for (const PinListRow& row : rows) {
    page.Raw("<tr><td>").Text(row.mac).Raw("</td><td>").Text(row.e164).Raw("</td>");
    if (row.pin.empty()) {
      page.Raw("<td>shown before</td></tr>\n");
    } else {
      page.Raw("<td class=\"pin\">").Text(row.pin.view()).Raw("</td></tr>\n");
    }
  }
  page.Raw("</tbody>\n</table>\n</body>\n</html>\n");
  return std::move(page).Finish();
}

}  // namespace phonepki::provisioning
