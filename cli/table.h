// Tables for people. Columns shrink until the table fits the terminal; a cell that does not fit ends with
// "…".
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cli/terminal_text.h"

namespace phonepki::cli {

struct Column {
  std::string header;
  bool right = false;    // numbers
  bool elastic = false;  // gives way first: descriptions, subjects
};

struct Cell {
  std::string text;
  Color color = Color::kNone;

  Cell(std::string text, Color color = Color::kNone) : text(std::move(text)), color(color) {}  // NOLINT
  Cell(const char* text) : text(text) {}                                                       // NOLINT
};

struct TableStyle {
  int width = 100;  // 0: as wide as it needs to be
  bool color = false;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell per column. Texts are made printable here.
  void Add(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }
  std::size_t size() const { return rows_.size(); }
  void Print(std::ostream& out, const TableStyle& style) const;

 private:
  std::vector<int> Layout(int width) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "Label:   value" lines for one thing. Values are never cut: this is where people copy fingerprints from.
class Sheet {
 public:
  // An empty value is left out.
  void Add(const std::string& label, std::string value, Color color = Color::kNone);
  void Print(std::ostream& out, const TableStyle& style) const;

 private:
  struct Line {
    std::string label;
    Cell value;
  };
  std::vector<Line> lines_;
};

}  // namespace phonepki::cli
