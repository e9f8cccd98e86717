// Shell completion. The scripts are thin: they hand the words typed so far to `phonepki __complete`, which
// walks the command tree. So a new command or option completes without a new script, and names of resources
// come from the server.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"

namespace phonepki::cli {

struct Candidate {
  std::string text;
  std::string description;
};

struct Completion {
  std::vector<Candidate> candidates;  // those that begin with the current word
  bool files = false;                 // the shell should offer files
};

// Display names of the resources of a kind; empty when the server cannot be asked.
using NameSource = std::function<std::vector<Candidate>(Complete kind)>;

// `words` after the program's name; the last one is being typed and may be empty. Fills the targets of the
// global options among them, so that `names` asks the right server.
Completion CompleteWords(const Command& root, const std::vector<Option>& globals,
                         const std::vector<std::string>& words, const NameSource& names);

// One line per candidate, text and description separated by a tab; ":files" as the last line asks for files.
std::string PrintCompletion(const Completion& completion);

// bash, zsh or fish; empty for any other.
std::string CompletionScript(const std::string& shell);

}  // namespace phonepki::cli
