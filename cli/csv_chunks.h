// A long CSV file in pieces that one call can carry, each with the header line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace phonepki::cli {

struct CsvChunk {
  std::string text;
  std::int64_t line_offset = 0;  // add to a line number of this chunk (other than 1) for that of the file
};

// Cuts only at the end of a record (a quoted field may hold line breaks). One record longer than `max_bytes`
// stays whole.
std::vector<CsvChunk> SplitCsv(const std::string& csv, std::size_t max_bytes);

}  // namespace phonepki::cli
