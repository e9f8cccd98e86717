#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>

namespace phonepki::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(c));
  return text;
}

std::string LocalTime(const google::protobuf::Timestamp& time) {
  const std::time_t seconds = time.seconds();
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string ScalarText(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->GetString(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, field) ? "yes" : "no";
    case FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(reflection->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return Lower(reflection->GetEnum(message, field)->name());
    default:
      return "";
  }
}

std::string RepeatedText(const Message& message, const FieldDescriptor* field) {
  std::string text;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      text += (i == 0 ? "" : ", ") + message.GetReflection()->GetRepeatedString(message, field, i);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      const Message& item = message.GetReflection()->GetRepeatedMessage(message, field, i);
      std::string parts;
      for (int f = 0; f < item.GetDescriptor()->field_count(); ++f) {
        const std::string part = FieldText(item, item.GetDescriptor()->field(f)->name());
        if (!part.empty()) parts += (parts.empty() ? "" : " ") + part;
      }
      text += (i == 0 ? "" : "; ") + parts;
    }
  }
  return text;
}

// Cells on the screen, not octets.
std::size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

std::string Fit(const std::string& text, std::size_t cells) {
  if (Width(text) <= cells) return text + std::string(cells - Width(text), ' ');
  std::string cut;
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80 && ++used >= cells) break;
    cut += text[i];
  }
  return cut + "…";
}

}  // namespace

std::string FieldText(const Message& message, const std::string& path) {
  const auto dot = path.find('.');
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(path.substr(0, dot));
  if (field == nullptr) return "";
  if (field->is_repeated()) return RepeatedText(message, field);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return ScalarText(message, field);
  if (!message.GetReflection()->HasField(message, field)) return "";
  const Message& inner = message.GetReflection()->GetMessage(message, field);
  if (const auto* time = dynamic_cast<const google::protobuf::Timestamp*>(&inner)) return LocalTime(*time);
  return dot == std::string::npos ? "" : FieldText(inner, path.substr(dot + 1));
}

std::string Table(const std::vector<const Message*>& rows, const Columns& columns, int width) {
  std::vector<std::vector<std::string>> cells{{}};
  for (const auto& column : columns) cells[0].push_back(column.first);
  for (const Message* row : rows) {
    cells.emplace_back();
    for (const auto& column : columns) cells.back().push_back(FieldText(*row, column.second));
  }
  std::vector<std::size_t> widths(columns.size(), 0);
  for (const auto& row : cells) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], Width(row[c]));
  }
  const auto total = [&] {
    std::size_t sum = 0;
    for (std::size_t w : widths) sum += w + 2;
    return sum;
  };
  // The widest columns give way first.
  while (total() > static_cast<std::size_t>(width) + 2) {
    auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= 8) break;
    --*widest;
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) line += Fit(row[c], widths[c]) + "  ";
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Card(const Message& message, const Columns& fields) {
  std::size_t longest = 0;
  for (const auto& field : fields) longest = std::max(longest, Width(field.first));
  std::string text;
  for (const auto& field : fields) {
    const std::string value = FieldText(message, field.second);
    if (!value.empty()) text += Fit(field.first + ":", longest + 1) + "  " + value + "\n";
  }
  return text;
}

std::string Json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = true;
  std::string text;
  static_cast<void>(google::protobuf::util::MessageToJsonString(message, &text, options));
  return text;
}

bool IsTerminal() {
  return isatty(STDOUT_FILENO) == 1;
}

int TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int wanted = columns == nullptr ? 0 : std::atoi(columns);
  return wanted > 20 ? wanted : 120;
}

std::string ProgressBar(double share, int cells) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * cells);
  std::string bar;
  for (int i = 0; i < cells; ++i) bar += i < full ? "█" : "░";
  return bar;
}

std::string ProgressDisplay::Show(const deployment::v1::WatchProgressResponse& state, double seconds) {
  std::vector<std::string> lines;
  std::size_t names = 8;
  for (const auto& deployment : state.deployments())
    names = std::max(names, Width(deployment.location_display_name()));
  long long total = 0, done = 0;
  for (const auto& deployment : state.deployments()) {
    const auto& p = deployment.progress();
    const long long over = p.succeeded() + p.failed() + p.timed_out() + p.cancelled() + p.superseded();
    total += p.total();
    done += over;
    char counts[256];
    std::snprintf(counts, sizeof counts,
                  "%3lld%%  %lld/%lld  ok %lld  failed %lld  verifying %lld  busy %lld  offline %lld",
                  p.total() == 0 ? 0LL : over * 100 / p.total(), over, static_cast<long long>(p.total()),
                  static_cast<long long>(p.succeeded()), static_cast<long long>(p.failed() + p.timed_out()),
                  static_cast<long long>(p.verifying()), static_cast<long long>(p.deferred_busy()),
                  static_cast<long long>(p.deferred_offline()));
    const double share = p.total() == 0 ? 0 : static_cast<double>(over) / static_cast<double>(p.total());
    const std::string bar = terminal_ ? ProgressBar(share, std::clamp(width_ - 90, 10, 30)) + "  " : "";
    lines.push_back(Fit(deployment.location_display_name(), names) + "  " + bar + counts);
  }
  const double rate = seconds > 0.5 ? static_cast<double>(done) / seconds : 0;
  char summary[160];
  std::snprintf(summary, sizeof summary, "%lld/%lld phones  %.1f/s  elapsed %.0f s", done, total, rate,
                seconds);
  if (terminal_) lines.push_back(Fit("Total", names) + "  " + summary);
  std::string text;
  if (terminal_ && drawn_lines_ > 0) text = "\033[" + std::to_string(drawn_lines_) + "A";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (terminal_) {
      text += "\033[2K" + lines[i] + "\n";
    } else if (i >= last_.size() || last_[i] != lines[i]) {
      text += lines[i] + "\n";
    }
  }
  drawn_lines_ = static_cast<int>(lines.size());
  last_ = lines;
  return text;
}

}  // namespace phonepki::cli
