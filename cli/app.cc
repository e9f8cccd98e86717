#include "cli/app.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/session.h"
#include "cli/time_text.h"

namespace phonepki::cli {
namespace {

int UsageError(Environment& environment, const ParsedLine& line) {
  std::vector<std::string> words;
  for (const Command* step : line.path) words.push_back(step->name);
  std::vector<std::string> sentences = absl::StrSplit(line.error, '\n', absl::SkipEmpty());
  environment.err << "error: " << Printable(absl::StrJoin(sentences, "; "))
                  << "\n  see: " << absl::StrJoin(words, " ") << " --help\n";
  return kExitUsage;
}

int PrintCandidates(const Command& root, const std::vector<Option>& globals, GlobalOptions& options,
                    const std::vector<std::string>& words, Environment& environment) {
  options.output = "table";
  const auto names = [&](Complete kind) {
    Session session(environment, options);
    session.set_timeout(absl::Seconds(2));  // a person has pressed a key and waits
    return ResourceNames(session, kind);
  };
  environment.out << PrintCompletion(CompleteWords(root, globals, words, names));
  return kExitOk;
}

}  // namespace

int RunApp(std::vector<std::string> arguments, Environment& environment) {
  const Command root = RootCommand();
  GlobalOptions options;
  const std::vector<Option> globals = GlobalOptionList(&options);
  if (!arguments.empty() && arguments[0] == "__complete") {
    arguments.erase(arguments.begin());
    return PrintCandidates(root, globals, options, arguments, environment);
  }
  // "phonepki help ca create" reads as well as "phonepki ca create --help".
  if (!arguments.empty() && arguments[0] == "help") {
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  if (arguments.empty()) arguments.push_back("--help");

  const ParsedLine line = ParseCommandLine(root, globals, arguments);
  const int columns = environment.terminal_size().columns;
  if (line.help) {
    environment.out << HelpPage(line.path, globals, columns);
    return kExitOk;
  }
  if (line.version) {
    environment.out << "phonepki " << PHONEPKI_VERSION << '\n';
    return kExitOk;
  }
  // "phonepki ca" alone: show what there is, but it is not what was to be done.
  if (line.command == nullptr && !line.path.back()->commands.empty() &&
      arguments.size() + 1 == line.path.size()) {
    environment.err << HelpPage(line.path, globals, columns);
    return kExitUsage;
  }
  if (line.command == nullptr) return UsageError(environment, line);

  Session session(environment, options);
  absl::StatusOr<ExitCode> result = kExitOk;
  if (absl::StatusOr<absl::Duration> timeout = ParseDuration(options.timeout, "timeout"); timeout.ok()) {
    session.set_timeout(*timeout);
    result = line.command->run(session);
  } else {
    result = timeout.status();
  }
  environment.out.flush();
  if (result.ok()) return *result;
  PrintError(environment, result.status());
  return ExitCodeOf(result.status());
}

}  // namespace phonepki::cli
