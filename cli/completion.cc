#include "cli/completion.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

namespace phonepki::cli {
namespace {

constexpr char kBash[] =
    R"sh(# bash completion for phonepki; load it with:  source <(phonepki completion bash)
_phonepki() {
    local -a words=()
    local i word line candidate prefix typed glue=0 quoted=0
    # Bash splits words at ':' and '=', as in a MAC address: join them again.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ( $glue -eq 1 || $word == [:=]* ) ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        glue=0
        [[ $word == *[:=] ]] && glue=1
    done
    typed=${COMP_WORDS[COMP_CWORD]}
    [[ $typed == [:=]* ]] && typed=""
    prefix=${words[${#words[@]}-1]}
    prefix=${prefix%"$typed"}
    [[ $typed == [\"\']* ]] && quoted=1
    for i in "${!words[@]}"; do
        word=${words[i]//\\/}
        word=${word#[\"\']}
        words[i]=${word%[\"\']}
    done
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o default 2>/dev/null
            continue
        fi
        candidate=${line%%$'\t'*}
        candidate=${candidate#"$prefix"}
        [[ $quoted -eq 0 ]] && printf -v candidate '%q' "$candidate"
        COMPREPLY+=("$candidate")
    done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
}
complete -F _phonepki phonepki
)sh";

constexpr char kZsh[] = R"sh(#compdef phonepki
# zsh completion for phonepki; load it with:  source <(phonepki completion zsh)
_phonepki() {
    local -a candidates
    local line text description files=0
    for line in "${(@f)$("${words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == :files ]]; then
            files=1
        elif [[ -n $line ]]; then
            text=${line%%$'\t'*}
            description=${line#*$'\t'}
            candidates+=("${text//:/\\:}:$description")
        fi
    done
    (( ${#candidates} )) && _describe phonepki candidates
    (( files )) && _files
    return 0
}
compdef _phonepki phonepki
)sh";

constexpr char kFish[] = R"sh(# fish completion for phonepki; load it with:  phonepki completion fish | source
function __phonepki_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path $current
        else
            echo $line
        end
    end
end
complete -c phonepki -f -a '(__phonepki_complete)'
)sh";

bool Names(const Option& option, const std::string& word) {
  for (const auto name : absl::StrSplit(option.names, ',')) {
    if (name == word) return true;
  }
  return false;
}

const Option* FindOption(const Command& command, const std::vector<Option>& globals,
                         const std::string& word) {
  for (const Option& option : command.options) {
    if (!option.positional() && Names(option, word)) return &option;
  }
  for (const Option& option : globals) {
    if (Names(option, word)) return &option;
  }
  return nullptr;
}

const Command* FindChild(const Command& command, const std::string& word) {
  for (const Command& child : command.commands) {
    if (child.name == word) return &child;
    for (const std::string& alias : child.aliases) {
      if (alias == word) return &child;
    }
  }
  return nullptr;
}

class Collector {
 public:
  explicit Collector(std::string current) : current_(std::move(current)) {}

  void Offer(const std::string& text, const std::string& description) {
    if (absl::StartsWith(text, current_)) completion_.candidates.push_back({text, description});
  }

  void OfferValues(const Option& option, const NameSource& names, const std::string& prefix = "") {
    for (const std::string& choice : option.choices) Offer(absl::StrCat(prefix, choice), option.help);
    if (option.complete == Complete::kFile) {
      completion_.files = true;
    } else if (option.complete != Complete::kNothing) {
      for (const Candidate& name : names(option.complete))
        Offer(absl::StrCat(prefix, name.text), name.description);
    }
  }

  void OfferOptions(const std::vector<Option>& options) {
    for (const Option& option : options) {
      if (option.positional()) continue;
      const std::vector<std::string> names = absl::StrSplit(option.names, ',');
      Offer(names.back(), option.help);
    }
  }

  Completion Take() { return std::move(completion_); }

 private:
  std::string current_;
  Completion completion_;
};

void Remember(const Option& option, const std::string& value) {
  if (auto* const* text = std::get_if<std::string*>(&option.target)) **text = value;
}

}  // namespace

Completion CompleteWords(const Command& root, const std::vector<Option>& globals,
                         const std::vector<std::string>& words, const NameSource& names) {
  const std::string current = words.empty() ? "" : words.back();
  Collector collector(current);
  const Command* command = &root;
  std::size_t positionals = 0;
  const Option* waiting = nullptr;  // an option whose value comes next
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (waiting != nullptr) {
      Remember(*waiting, word);
      waiting = nullptr;
    } else if (absl::StartsWith(word, "-") && word != "-") {
      const std::pair<std::string, std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
      const Option* option = FindOption(*command, globals, parts.first);
      if (option == nullptr || option->flag()) continue;
      if (absl::StrContains(word, "=")) {
        Remember(*option, parts.second);
      } else {
        waiting = option;
      }
    } else if (const Command* child = command->commands.empty() ? nullptr : FindChild(*command, word)) {
      command = child;
    } else {
      ++positionals;
    }
  }

  if (waiting != nullptr) {
    collector.OfferValues(*waiting, names);
  } else if (absl::StartsWith(current, "--") && absl::StrContains(current, "=")) {
    const std::string name = current.substr(0, current.find('='));
    if (const Option* option = FindOption(*command, globals, name)) {
      collector.OfferValues(*option, names, absl::StrCat(name, "="));
    }
  } else if (absl::StartsWith(current, "-")) {
    collector.OfferOptions(command->options);
    collector.OfferOptions(globals);
    collector.Offer("--help", "help with examples");
    if (command == &root) collector.Offer("--version", "print the version");
  } else {
    for (const Command& child : command->commands) {
      if (!child.summary.empty()) collector.Offer(child.name, child.summary);
    }
    std::size_t at = 0;
    for (const Option& option : command->options) {
      if (!option.positional()) continue;
      if (at++ == positionals || option.repeated()) {
        collector.OfferValues(option, names);
        break;
      }
    }
  }
  return collector.Take();
}

std::string PrintCompletion(const Completion& completion) {
  std::string text;
  for (const Candidate& candidate : completion.candidates) {
    absl::StrAppend(&text, candidate.text, "\t", candidate.description, "\n");
  }
  if (completion.files) text += ":files\n";
  return text;
}

std::string CompletionScript(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return "";
}

}  // namespace phonepki::cli
