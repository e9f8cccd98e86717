#include "cli/command_line.h"

#include <map>

#include <CLI/CLI.hpp>

namespace phonepki::cli {
namespace {

bool Assign(const Option::Target& target, const std::vector<std::string>& values) {
  return std::visit(
      [&](auto* to) {
        using T = std::decay_t<decltype(*to)>;
        if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          *to = values;
        } else if constexpr (std::is_same_v<T, bool>) {
          *to = true;
        } else if constexpr (std::is_same_v<T, std::string> ||
                             std::is_same_v<T, std::optional<std::string>>) {
          *to = values.back();
        } else {
          std::int64_t number = 0;
          if (!CLI::detail::lexical_cast(values.back(), number)) return false;
          *to = number;
        }
        return true;
      },
      target);
}

void AddOption(CLI::App& app, const Option& option) {
  if (option.flag()) {
    app.add_flag_function(option.names, [target = option.target](std::int64_t) { Assign(target, {"true"}); });
    return;
  }
  CLI::Option* added = app.add_option(
      option.names, [target = option.target](const CLI::results_t& v) { return Assign(target, v); });
  added->type_name(option.placeholder)->required(option.required);
  if (option.repeated()) {
    added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    // An option takes one value each time it is given; a positional argument takes what is left.
    if (option.positional()) {
      added->expected(option.required ? 1 : 0, -1)->allow_extra_args();
    } else {
      added->expected(1)->allow_extra_args(false);
    }
  } else {
    added->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  }
  if (!option.choices.empty()) added->transform(CLI::IsMember(option.choices, CLI::ignore_case));
}

void Build(CLI::App& app, const Command& command, std::map<const CLI::App*, const Command*>& commands) {
  commands[&app] = &command;
  for (const Option& option : command.options) AddOption(app, option);
  for (const Command& child : command.commands) {
    CLI::App* added = app.add_subcommand(child.name);
    for (const std::string& alias : child.aliases) added->alias(alias);
    Build(*added, child, commands);
  }
  // "1, 1": a name that follows the verb is an argument, even when it equals a noun.
  if (!command.commands.empty()) app.require_subcommand(1, 1);
}

// The library only says that a subcommand is missing; the word that is none helps more.
std::string UnknownCommand(const ParsedLine& line, const std::vector<std::string>& arguments) {
  std::size_t depth = line.path.size() - 1;  // the words that were understood
  for (const std::string& word : arguments) {
    if (word.empty() || word[0] == '-') return line.error;  // its value may follow: who knows
    if (depth-- == 0) return "unknown command: " + word;
  }
  return line.error;
}

}  // namespace

ParsedLine ParseCommandLine(const Command& root, const std::vector<Option>& globals,
                            const std::vector<std::string>& arguments) {
  CLI::App app("", root.name);
  app.fallthrough();
  std::map<const CLI::App*, const Command*> commands;
  bool version = false;
  app.add_flag("--version", version);
  for (const Option& option : globals) AddOption(app, option);
  Build(app, root, commands);

  ParsedLine line;
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    line.help = true;
  } catch (const CLI::ParseError& error) {
    line.error = error.what();
  }
  line.version = version;
  const CLI::App* at = &app;
  line.path.push_back(&root);
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    line.path.push_back(commands.at(at));
  }
  if (version) line.error.clear();
  if (!line.error.empty() && !line.path.back()->commands.empty())
    line.error = UnknownCommand(line, arguments);
  if (line.error.empty() && !line.help && !version) line.command = line.path.back();
  return line;
}

}  // namespace phonepki::cli
