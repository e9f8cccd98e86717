#include "cli/completion.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command_line.h"
#include "cli/commands/commands.h"
#include "cli/help.h"

namespace phonepki::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Result {
  std::vector<std::string> texts;
  bool files;
  Complete asked;
};

Result CompleteLine(std::vector<std::string> words) {
  static GlobalOptions options;
  const Command root = RootCommand();
  Result result{{}, false, Complete::kNothing};
  const Completion completion = CompleteWords(root, GlobalOptionList(&options), words, [&](Complete kind) {
    result.asked = kind;
    return std::vector<Candidate>{{"My CA", ""}, {"Other", ""}};
  });
  for (const Candidate& candidate : completion.candidates) result.texts.push_back(candidate.text);
  result.files = completion.files;
  return result;
}

TEST(CompleteWords, NounsVerbsOptionsAndValues) {
  EXPECT_THAT(CompleteLine({""}).texts, Contains("deployment"));
  EXPECT_THAT(CompleteLine({"de"}).texts, ElementsAre("device", "deployment"));
  EXPECT_THAT(CompleteLine({"ca", "e"}).texts, ElementsAre("enable", "export"));
  EXPECT_THAT(CompleteLine({"internal-ca", "e"}).texts, ElementsAre("enable", "export"));
  EXPECT_THAT(CompleteLine({"ca", "create", "--valid-"}).texts,
              ElementsAre("--valid-from", "--valid-to", "--valid-days", "--valid-years"));
  EXPECT_THAT(CompleteLine({"ca", "list", "-o", ""}).texts, ElementsAre("table", "json", "name"));
  EXPECT_THAT(CompleteLine({"ca", "list", "--output=j"}).texts, ElementsAre("--output=json"));
  EXPECT_THAT(CompleteLine({"job", "list", "--state", "ti"}).texts, ElementsAre("timed-out"));
  EXPECT_THAT(CompleteLine({"completion", ""}).texts, ElementsAre("bash", "zsh", "fish"));
}

TEST(CompleteWords, NamesComeFromTheServer) {
  Result result = CompleteLine({"ca", "enable", "M"});
  EXPECT_THAT(result.texts, ElementsAre("My CA"));
  EXPECT_EQ(result.asked, Complete::kCa);
  EXPECT_EQ(CompleteLine({"connector", "create", "WBM", "--plugin", ""}).asked, Complete::kPlugin);
  EXPECT_EQ(CompleteLine({"connector", "select-ca", "WBM", ""}).asked, Complete::kCa);
  EXPECT_EQ(CompleteLine({"rollout", "watch", "12", ""}).asked, Complete::kDeployment);
  // A new thing has no name yet.
  EXPECT_THAT(CompleteLine({"ca", "create", ""}).texts, IsEmpty());
  EXPECT_THAT(CompleteLine({"ca", "enable", "My CA", ""}).texts, IsEmpty());
}

TEST(CompleteWords, FilesWhereAFileIsExpected) {
  EXPECT_TRUE(CompleteLine({"device", "import", ""}).files);
  EXPECT_TRUE(CompleteLine({"ca", "list", "--context", ""}).files);
  EXPECT_FALSE(CompleteLine({"ca", "list", ""}).files);
}

int Shell(const std::string& command) {
  return system(command.c_str());
}

// A stand-in for the program on the PATH, so that the script runs as in a real shell.
TEST(CompletionScript, BashParsesItAndCompletesWithIt) {
  char path[] = "/tmp/phonepki-completion-XXXXXX";
  const std::string directory = mkdtemp(path);
  std::ofstream(directory + "/script") << CompletionScript("bash");
  EXPECT_EQ(Shell("bash -n " + directory + "/script"), 0);
  std::ofstream(directory + "/phonepki") << "#!/bin/sh\n"
                                            "printf '%s\\n' \"$@\" > "
                                         << directory
                                         << "/asked\n"
                                            "printf 'My CA\\tx\\n00:1A:E8:00:00:01\\ty\\n'\n";
  Shell("chmod +x " + directory + "/phonepki");
  std::ofstream(directory + "/try") << "PATH=" << directory << ":$PATH\nsource " << directory
                                    << "/script\n"
                                       "COMP_WORDS=(phonepki device get 00 : 1A : E); COMP_CWORD=7; "
                                       "_phonepki; printf '%s\\n' \"${COMPREPLY[@]}\" > "
                                    << directory << "/reply\n";
  EXPECT_EQ(Shell("bash " + directory + "/try"), 0);
  const auto load = [&](const char* name) {
    std::ifstream file(directory + "/" + name);
    return std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  };
  EXPECT_EQ(load("asked"), "__complete\ndevice\nget\n00:1A:E\n");
  EXPECT_EQ(load("reply"), "My\\ CA\nE8:00:00:01\n");
  Shell("rm -rf " + directory);
}

TEST(CompletionScript, ExistsForThreeShells) {
  EXPECT_THAT(CompletionScript("zsh"), HasSubstr("compdef"));
  EXPECT_THAT(CompletionScript("fish"), HasSubstr("complete -c phonepki"));
  EXPECT_EQ(CompletionScript("csh"), "");
}

void Walk(const std::vector<const Command*>& path,
          const std::function<void(const std::vector<const Command*>&)>& visit) {
  visit(path);
  for (const Command& child : path.back()->commands) {
    auto longer = path;
    longer.push_back(&child);
    Walk(longer, visit);
  }
}

TEST(CommandTree, EveryCommandHasAHelpPageWithExamplesThatItAccepts) {
  const Command root = RootCommand();
  GlobalOptions options;
  const auto globals = GlobalOptionList(&options);
  int commands = 0;
  Walk({&root}, [&](const std::vector<const Command*>& path) {
    const Command& command = *path.back();
    const std::string page = HelpPage(path, globals, 100);
    ++commands;
    EXPECT_THAT(page, HasSubstr("Examples:")) << command.name;
    EXPECT_FALSE(command.summary.empty());
    EXPECT_THAT(page, Not(HasSubstr("\x1b")));
    EXPECT_NE(command.commands.empty(), command.run == nullptr) << command.name;
    std::string words = "phonepki";
    for (std::size_t i = 1; i < path.size(); ++i) words += " " + path[i]->name;
    EXPECT_THAT(page, HasSubstr("Usage: " + words));
    EXPECT_THAT(command.examples[0],
                HasSubstr(path.size() == 1 ? "phonepki" : words.substr(0, words.rfind(' '))));
  });
  EXPECT_GT(commands, 60);
}

TEST(CommandTree, NamesAreUniqueAmongSiblings) {
  const Command root = RootCommand();
  Walk({&root}, [&](const std::vector<const Command*>& path) {
    std::set<std::string> names;
    for (const Command& child : path.back()->commands) {
      EXPECT_TRUE(names.insert(child.name).second) << child.name;
      for (const std::string& alias : child.aliases) EXPECT_TRUE(names.insert(alias).second) << alias;
    }
  });
}

TEST(ParseCommandLine, AnArgumentMayEqualANoun) {
  const Command root = RootCommand();
  GlobalOptions options;
  const auto globals = GlobalOptionList(&options);
  for (const char* name : {"ca", "list", "create", "device"}) {
    const ParsedLine line = ParseCommandLine(root, globals, {"ca", "enable", name, "-o", "json"});
    ASSERT_NE(line.command, nullptr) << line.error;
    EXPECT_EQ(line.command->name, "enable");
  }
  EXPECT_EQ(options.output, "json");
}

TEST(ParseCommandLine, GlobalOptionsStandAnywhere) {
  const Command root = RootCommand();
  for (const auto& words : std::vector<std::vector<std::string>>{{"--server", "a:1", "ca", "list"},
                                                                 {"ca", "--server", "a:1", "list"},
                                                                 {"ca", "list", "--server", "a:1"},
                                                                 {"ca", "list", "--server=a:1"}}) {
    GlobalOptions options;
    EXPECT_NE(ParseCommandLine(root, GlobalOptionList(&options), words).command, nullptr);
    EXPECT_EQ(options.server, "a:1");
  }
}

}  // namespace
}  // namespace phonepki::cli
