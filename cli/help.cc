#include "cli/help.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include "cli/terminal_text.h"

namespace phonepki::cli {
namespace {

constexpr int kMaxLabel = 30;

std::string Wrap(const std::string& text, int indent, int width) {
  std::string result;
  int used = indent;
  bool first = true;
  for (const auto word : absl::StrSplit(text, ' ')) {
    const int length = DisplayWidth(std::string(word));
    if (!first && used + 1 + length > width) {
      absl::StrAppend(&result, "\n", std::string(indent, ' '));
      used = indent;
      first = true;
    }
    if (!first) {
      result += ' ';
      ++used;
    }
    absl::StrAppend(&result, word);
    used += length;
    first = false;
  }
  return result;
}

std::string Label(const Option& option) {
  if (option.positional()) return absl::StrCat(option.names, option.repeated() ? "..." : "");
  std::string label = absl::StrReplaceAll(option.names, {{",", ", "}});
  if (!option.flag()) absl::StrAppend(&label, " ", option.placeholder);
  return label;
}

using Rows = std::vector<std::pair<std::string, std::string>>;

void AppendRows(std::string& page, const std::string& title, const Rows& rows, int width) {
  if (rows.empty()) return;
  int label_width = 0;
  for (const auto& [label, text] : rows) {
    if (DisplayWidth(label) <= kMaxLabel) label_width = std::max(label_width, DisplayWidth(label));
  }
  const int indent = 2 + label_width + 2;
  absl::StrAppend(&page, "\n", title, ":\n");
  for (const auto& [label, text] : rows) {
    if (DisplayWidth(label) > label_width) {
      absl::StrAppend(&page, "  ", label, "\n", std::string(indent, ' '));
    } else {
      absl::StrAppend(&page, "  ", Fit(label, label_width), "  ");
    }
    absl::StrAppend(&page, Wrap(text, indent, width), "\n");
  }
}

void AddRow(Rows& rows, const Option& option) {
  std::string text = option.help;
  if (!option.choices.empty()) absl::StrAppend(&text, " (", absl::StrJoin(option.choices, " | "), ")");
  if (option.repeated() && !option.positional()) text += "; may be given several times";
  if (option.required && !option.positional()) text += " [required]";
  rows.emplace_back(Label(option), text);
}

}  // namespace

std::string HelpPage(const std::vector<const Command*>& path, const std::vector<Option>& globals, int width) {
  width = std::clamp(width, 40, 110);
  const Command& command = *path.back();
  std::vector<std::string> words;
  for (const Command* step : path) words.push_back(step->name);
  std::string usage = absl::StrJoin(words, " ");
  Rows arguments, options, commands;
  bool any_option = false;
  for (const Option& option : command.options) {
    if (option.positional()) {
      absl::StrAppend(&usage, option.required ? " " : " [", Label(option), option.required ? "" : "]");
      AddRow(arguments, option);
    } else {
      if (option.required) absl::StrAppend(&usage, " ", Label(option));
      any_option |= !option.required;
      AddRow(options, option);
    }
  }
  for (const Command& child : command.commands) {
    if (!child.summary.empty()) commands.emplace_back(child.name, child.summary);
  }
  if (!commands.empty()) usage += " COMMAND";
  if (any_option || path.size() == 1) usage += " [OPTIONS]";

  std::string page = absl::StrCat(Wrap(command.summary, 0, width), ".\n");
  for (const auto paragraph : absl::StrSplit(command.description, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&page, "\n", Wrap(std::string(paragraph), 0, width), "\n");
  }
  absl::StrAppend(&page, "\nUsage: ", usage, "\n");
  if (!command.aliases.empty()) absl::StrAppend(&page, "Also:  ", absl::StrJoin(command.aliases, ", "), "\n");
  AppendRows(page, "Commands", commands, width);
  AppendRows(page, "Arguments", arguments, width);
  AppendRows(page, "Options", options, width);
  if (path.size() == 1) {
    Rows rows;
    for (const Option& option : globals) AddRow(rows, option);
    rows.emplace_back("--version", "print the version");
    rows.emplace_back("-h, --help", "help for any command, with examples");
    AppendRows(page, "Options of every command", rows, width);
  }
  if (!command.examples.empty()) {
    page += "\nExamples:\n";
    for (const std::string& example : command.examples) absl::StrAppend(&page, "  ", example, "\n");
  }
  if (path.size() == 1) {
    page +=
        "\nExit codes:\n"
        "  0  done                                  4  exists already, or its state does not allow it\n"
        "  1  internal error                        5  not permitted\n"
        "  2  wrong command line or value           6  server cannot be reached, too slow or overloaded\n"
        "  3  not found                             7  the awaited work is over, not all of it succeeded\n";
  } else {
    absl::StrAppend(&page, "\nOptions for connection and output: ", path.front()->name, " --help\n");
  }
  return page;
}

}  // namespace phonepki::cli
