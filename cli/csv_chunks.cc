#include "cli/csv_chunks.h"

#include <algorithm>

namespace phonepki::cli {
namespace {

// The position behind the record that begins at `at`. As the server reads it: a quote opens at the beginning
// of a field only, and one that nothing closes does not reach beyond its line.
std::size_t RecordEnd(const std::string& csv, const std::size_t at) {
  bool quoted = false, field_begins = true;
  for (std::size_t i = at; i < csv.size(); ++i) {
    const char c = csv[i];
    if (c == '"' && (quoted || field_begins)) quoted = !quoted;
    // The second of two quotes inside a field opens it again.
    field_begins = !quoted && (c == ',' || c == ';' || c == '"');
    if (c == '\n' && !quoted) return i + 1;
  }
  const std::size_t line_end = quoted ? csv.find('\n', at) : std::string::npos;
  return line_end == std::string::npos ? csv.size() : line_end + 1;
}

}  // namespace

std::vector<CsvChunk> SplitCsv(const std::string& csv, std::size_t max_bytes) {
  const std::size_t body = RecordEnd(csv, 0);
  const std::string header = csv.substr(0, body);
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  const std::int64_t header_lines = lines(header);
  std::vector<CsvChunk> chunks;
  std::int64_t line = header_lines;
  std::size_t at = body;
  do {
    CsvChunk chunk{header, line - header_lines};
    do {
      const std::size_t end = RecordEnd(csv, at);
      if (chunk.text.size() > header.size() && chunk.text.size() + end - at > max_bytes) break;
      chunk.text.append(csv, at, end - at);
      at = end;
    } while (at < csv.size());
    line += lines(chunk.text) - header_lines;
    chunks.push_back(std::move(chunk));
  } while (at < csv.size());
  return chunks;
}

}  // namespace phonepki::cli
