// A command as data: one tree from which the parser, the help pages and the shell completion are made, so
// that they cannot disagree. Commands know nothing of the parsing library.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <absl/status/statusor.h>

#include "cli/exit_code.h"

namespace phonepki::cli {

class Session;

// What the shell may offer as a value.
enum class Complete { kNothing, kFile, kCa, kPlugin, kConnector, kLocation, kDevice, kDeployment };

struct Option {
  using Target = std::variant<bool*, std::string*, std::int64_t*, std::optional<std::string>*,
                              std::optional<std::int64_t>*, std::vector<std::string>*>;

  Option(std::string names, std::string placeholder, std::string help, Target target)
      : names(std::move(names)), placeholder(std::move(placeholder)), help(std::move(help)), target(target) {}

  std::string names;        // "-o,--output", or "NAME" for a positional argument
  std::string placeholder;  // "FORMAT"; empty for a flag
  std::string help;
  Target target;  // owned by the command's arguments
  bool required = false;
  std::vector<std::string> choices;
  Complete complete = Complete::kNothing;

  bool positional() const { return names[0] != '-'; }
  bool flag() const { return std::holds_alternative<bool*>(target); }
  bool repeated() const { return std::holds_alternative<std::vector<std::string>*>(target); }

  Option Required() && {
    required = true;
    return std::move(*this);
  }
  Option OneOf(std::vector<std::string> values) && {
    choices = std::move(values);
    return std::move(*this);
  }
  Option Completing(Complete what) && {
    complete = what;
    return std::move(*this);
  }
};

inline Option Flag(std::string names, std::string help, bool* target) {
  return Option(std::move(names), "", std::move(help), target);
}
template <typename Target>
Option Value(std::string names, std::string placeholder, std::string help, Target* target) {
  return Option(std::move(names), std::move(placeholder), std::move(help), target);
}
// `name` is what help and error texts show, in capitals.
template <typename Target>
Option Positional(std::string name, std::string help, Target* target) {
  return Option(name, name, std::move(help), target);
}

struct Command {
  std::string name;
  std::vector<std::string> aliases;
  std::string summary;                // one line
  std::string description;            // more, for the help page only
  std::vector<std::string> examples;  // complete command lines
  std::vector<Option> options;
  std::vector<Command> commands;                          // either these
  std::function<absl::StatusOr<ExitCode>(Session&)> run;  // or this
  bool offline = false;                                   // needs no server
};

// The values of options that every command takes.
struct GlobalOptions {
  std::string output = "table";
  std::string server;
  std::string context;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name;
  std::string timeout = "30s";
  bool wide = false;
};
std::vector<Option> GlobalOptionList(GlobalOptions* options);

}  // namespace phonepki::cli
