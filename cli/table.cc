#include "cli/table.h"

#include <algorithm>
#include <numeric>

namespace phonepki::cli {
namespace {

constexpr int kGap = 2;
constexpr int kSmallest = 4;  // columns a cell keeps, however narrow the terminal

// Takes `excess` columns off the widest of `candidates`, one at a time; returns what could not be taken.
int Shrink(std::vector<int>& widths, const std::vector<std::size_t>& candidates, int floor, int excess) {
  while (excess > 0) {
    std::size_t widest = widths.size();
    for (std::size_t i : candidates) {
      if (widths[i] > floor && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    }
    if (widest == widths.size()) break;
    --widths[widest];
    --excess;
  }
  return excess;
}

}  // namespace

void Table::Add(std::vector<Cell> cells) {
  cells.resize(columns_.size(), Cell(""));
  for (Cell& cell : cells) cell.text = Printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::vector<int> Table::Layout(int width) const {
  std::vector<int> widths;
  for (const Column& column : columns_) widths.push_back(DisplayWidth(column.header));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
  }
  if (width <= 0) return widths;
  const int gaps = kGap * (static_cast<int>(widths.size()) - 1);
  int excess = std::accumulate(widths.begin(), widths.end(), gaps) - width;
  std::vector<std::size_t> elastic, others;
  for (std::size_t i = 0; i < columns_.size(); ++i) (columns_[i].elastic ? elastic : others).push_back(i);
  excess = Shrink(widths, elastic, 3 * kSmallest, excess);
  excess = Shrink(widths, others, 3 * kSmallest, excess);
  std::vector<std::size_t> all(widths.size());
  std::iota(all.begin(), all.end(), 0);
  Shrink(widths, all, kSmallest, excess);
  return widths;
}

void Table::Print(std::ostream& out, const TableStyle& style) const {
  const std::vector<int> widths = Layout(style.width);
  const auto print_row = [&](auto&& cell_at, bool header) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const Cell& cell = cell_at(i);
      const bool last = i + 1 == columns_.size();
      // No trailing spaces: they wrap in a terminal that is exactly full and show up in diffs.
      std::string text = last && !columns_[i].right ? Truncate(cell.text, widths[i])
                                                    : Fit(cell.text, widths[i], columns_[i].right);
      line += Paint(text, header ? Color::kBold : cell.color, style.color);
      if (!last) line += std::string(kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  };
  std::vector<Cell> headers;
  for (const Column& column : columns_) headers.emplace_back(column.header);
  print_row([&](std::size_t i) -> const Cell& { return headers[i]; }, true);
  for (const auto& row : rows_) print_row([&](std::size_t i) -> const Cell& { return row[i]; }, false);
}

void Sheet::Add(const std::string& label, std::string value, Color color) {
  if (!value.empty()) lines_.push_back({label, Cell(Printable(value), color)});
}

void Sheet::Print(std::ostream& out, const TableStyle& style) const {
  int indent = 0;
  for (const Line& line : lines_) indent = std::max(indent, DisplayWidth(line.label) + 1 + kGap);
  for (const Line& line : lines_) {
    out << Fit(line.label + ":", indent) << Paint(line.value.text, line.value.color, style.color) << '\n';
  }
}

}  // namespace phonepki::cli
