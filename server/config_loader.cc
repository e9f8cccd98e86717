// File, environment and flags into a ServerConfig. CLI11 and yaml-cpp report by exceptions; none leaves this
// file.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>
#include <CLI/CLI.hpp>

#include "provisioning/slots/slot_table.h"
#include "server/config.h"
#include "server/config_options.h"

namespace phonepki::server {
namespace {

constexpr const char* kDefaultFile = "/etc/phonepki/phonepkid.yaml";
constexpr const char* kFileVariable = "PHONEPKI_CONFIG";

std::vector<std::string> KeysOf(const std::string& section) {
  std::vector<std::string> keys;
  for (const ConfigOption& option : ConfigOptions()) {
    if (section.empty() || option.Section() == section) keys.push_back(option.key);
  }
  return keys;
}

std::string DidYouMean(const std::string& nearest) {
  return nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest);
}

// Gathers values in the order file, environment, flags; the last one given wins.
class Loader {
 public:
  void ReadFile(const std::string& path) {
    std::ifstream stream(path);
    if (!stream) return Mistake(path, "the configuration file cannot be read");
    std::stringstream content;
    content << stream.rdbuf();
    try {
      ReadDocument(path, YAML::Load(content.str()));
    } catch (const YAML::Exception& error) {
      Mistake(fmt::format("{}:{}", path, error.mark.line + 1), error.msg);
    }
  }

  void ReadEnvironment(const EnvironmentList& environment) {
    std::map<std::string, const ConfigOption*> by_name;
    for (const ConfigOption& option : ConfigOptions()) by_name[option.Variable()] = &option;
    for (const std::string& entry : environment) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(entry, absl::MaxSplits('=', 1));
      if (!absl::StartsWith(parts.first, "PHONEPKI_") || parts.first == kFileVariable) continue;
      if (const auto it = by_name.find(parts.first); it != by_name.end()) {
        Set(*it->second, parts.second, parts.first);
      } else {
        UnknownVariable(parts.first, by_name);
      }
    }
  }

  void SetFlag(const ConfigOption& option, const std::string& text) { Set(option, text, option.Flag()); }

  void Mistake(const std::string& place, const std::string& text) {
    mistakes_.push_back(place + ": " + text);
  }

  void Finish() {
    ResolveFiles();
    for (const ConfigMistake& mistake : Validate(config_)) {
      const auto it = origins_.find(mistake.key);
      const std::string place = it == origins_.end() ? "default" : it->second;
      Mistake(place, mistake.key + " " + mistake.text);
    }
  }

  absl::Status status() const {
    if (mistakes_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(mistakes_, "\n"));
  }

  // A file that gives the same configuration, with the origin of each value behind it.
  std::string Print() const {
    std::string text = "# The effective configuration. Behind each value: where it comes from.\n";
    for (const ConfigSection& section : ConfigSections()) {
      if (!section.name.empty()) text += section.name + ":\n";
      for (const ConfigOption& option : ConfigOptions()) {
        if (option.Section() != section.name) continue;
        const std::string name = option.key.substr(section.name.empty() ? 0 : section.name.size() + 1);
        const auto it = origins_.find(option.key);
        const std::string line =
            fmt::format("{}{}: {}", section.name.empty() ? "" : "  ", name, YamlValue(option));
        text += fmt::format("{:<56} # {}\n", line, it == origins_.end() ? "default" : it->second);
      }
    }
    return text;
  }

  ServerConfig TakeConfig() {
    if (!url_from_file_.empty()) config_.database.url = url_from_file_;  // only now: Print() must not show it
    return std::move(config_);
  }
  std::vector<std::string> TakeWarnings() { return std::move(warnings_); }

 private:
  void ReadDocument(const std::string& path, const YAML::Node& root) {
    if (root.IsNull()) return;
    if (!root.IsMap()) return Mistake(path, "must be a map of sections");
    std::set<std::string> seen;
    for (const auto& entry : root) {
      const std::string name = entry.first.Scalar();
      const std::string place = Place(path, entry.first);
      if (!seen.insert(name).second) {
        Mistake(place, fmt::format("\"{}\" is given twice", name));
      } else if (const ConfigOption* option = FindConfigOption(name); option != nullptr) {
        ReadValue(path, *option, entry.second);
      } else if (IsSection(name)) {
        ReadSection(path, name, entry.second);
      } else {
        UnknownKey(place, name, SectionsAndTopKeys());
      }
    }
  }

  void ReadSection(const std::string& path, const std::string& section, const YAML::Node& node) {
    if (node.IsNull()) return;
    if (!node.IsMap())
      return Mistake(Place(path, node), fmt::format("\"{}\" must be a map of keys", section));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string key = section + "." + entry.first.Scalar();
      const std::string place = Place(path, entry.first);
      const ConfigOption* option = FindConfigOption(key);
      if (!seen.insert(key).second) {
        Mistake(place, fmt::format("\"{}\" is given twice", key));
      } else if (option == nullptr) {
        UnknownKey(place, key, KeysOf(section));
      } else {
        ReadValue(path, *option, entry.second);
      }
    }
  }

  void ReadValue(const std::string& path, const ConfigOption& option, const YAML::Node& node) {
    if (node.IsNull()) return;  // "key:" without a value leaves the default
    if (node.IsScalar()) return Set(option, node.Scalar(), Place(path, node));
    if (node.IsSequence() && option.is_list) {
      std::vector<std::string> parts;
      for (const auto& part : node) parts.push_back(part.Scalar());
      return Set(option, absl::StrJoin(parts, ","), Place(path, node));
    }
    Mistake(Place(path, node),
            fmt::format("{} must be {}", option.key, option.is_list ? "a list" : "one value"));
  }

  void Set(const ConfigOption& option, const std::string& text, const std::string& place) {
    if (absl::Status status = option.parse(config_, text); !status.ok()) {
      return Mistake(place, fmt::format("{}: {}", option.key, std::string(status.message())));
    }
    origins_[option.key] = place;
  }

  void UnknownKey(const std::string& place, const std::string& key, const std::vector<std::string>& nearby) {
    std::string nearest = Nearest(key, nearby);
    if (nearest.empty()) nearest = Nearest(key, KeysOf(""));
    Mistake(place, fmt::format("unknown key \"{}\"{}", key, DidYouMean(nearest)));
  }

  // Slips are mistakes. Foreign variables (a Kubernetes service named phonepki makes PHONEPKI_PORT and more;
  // the CLI has its own) are not.
  void UnknownVariable(const std::string& name, const std::map<std::string, const ConfigOption*>& known) {
    static const auto* of_the_cli =
        new std::set<std::string>{"PHONEPKI_SERVER",  "PHONEPKI_SERVER_NAME", "PHONEPKI_CONTEXT",
                                  "PHONEPKI_CA_FILE", "PHONEPKI_CERT_FILE",   "PHONEPKI_KEY_FILE"};
    if (of_the_cli->contains(name) || absl::StrContains(name, "_SERVICE_") ||
        absl::StrContains(name, "_TCP") || absl::EndsWith(name, "_PORT")) {
      return;
    }
    std::vector<std::string> names;
    for (const auto& [known_name, option] : known) names.push_back(known_name);
    bool in_section = false;
    for (const ConfigSection& section : ConfigSections()) {
      in_section |= !section.name.empty() &&
                    absl::StartsWith(name, "PHONEPKI_" + absl::AsciiStrToUpper(section.name) + "_");
    }
    const std::string nearest = Nearest(name, names);
    if (in_section) return Mistake(name, "unknown variable" + DidYouMean(nearest));
    warnings_.push_back(fmt::format("{}: unknown variable, ignored{}", name, DidYouMean(nearest)));
  }

  void ResolveFiles() {
    std::error_code error;
    if (!config_.data_dir.empty())
      config_.data_dir = std::filesystem::absolute(config_.data_dir, error).string();
    auto& database = config_.database;
    if (database.url_file.empty()) return;
    if (!database.url.empty()) {
      return Mistake(origins_["database.url"], "database.url and database.url_file exclude each other");
    }
    std::ifstream stream(database.url_file);
    std::getline(stream, url_from_file_);
    absl::StripAsciiWhitespace(&url_from_file_);
    if (stream && url_from_file_.empty()) {
      Mistake(origins_["database.url_file"], fmt::format("the file {} is empty", database.url_file));
    }
  }

  std::string YamlValue(const ConfigOption& option) const {
    const std::string value = option.print(config_);
    if (option.is_list) {
      std::vector<std::string> parts = absl::StrSplit(value, ',', absl::SkipEmpty());
      for (std::string& part : parts) part = Quoted(part);
      return "[" + absl::StrJoin(parts, ", ") + "]";
    }
    return Quoted(value);
  }

  static std::string Quoted(const std::string& value) {
    const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](unsigned char c) {
      return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/';
    });
    if (plain) return value;
    YAML::Emitter emitter;
    emitter << YAML::DoubleQuoted << value;
    return emitter.c_str();
  }

  static bool IsSection(const std::string& name) {
    const auto& sections = ConfigSections();
    return !name.empty() && std::any_of(sections.begin(), sections.end(),
                                        [&](const auto& section) { return section.name == name; });
  }

  static std::vector<std::string> SectionsAndTopKeys() {
    std::vector<std::string> names;
    for (const ConfigSection& section : ConfigSections()) {
      if (!section.name.empty()) names.push_back(section.name);
    }
    for (const ConfigOption& option : ConfigOptions()) {
      if (option.Section().empty()) names.push_back(option.key);
    }
    return names;
  }

  static std::string Place(const std::string& path, const YAML::Node& node) {
    return fmt::format("{}:{}", path, node.Mark().line + 1);
  }

  ServerConfig config_;
  std::string url_from_file_;
  std::map<std::string, std::string>
      origins_;  // key -> "phonepkid.yaml:12", "PHONEPKI_PHONE_LISTEN" or "--phone-listen"
  std::vector<std::string> mistakes_;
  std::vector<std::string> warnings_;
};

class CommandLine {
 public:
  CommandLine()
      : app_("The phonepki server: internal PKI and mass provisioning of desk phones.", "phonepkid") {
    app_.get_formatter()->column_width(50);
    app_.set_help_flag("-h,--help", "Print this help.");
    app_.set_version_flag("-V,--version", "phonepkid " PHONEPKI_VERSION, "Print the version.");
    app_.add_option(
            "-c,--config", file_,
            fmt::format("YAML file; also {}. {} is read when it exists.", kFileVariable, kDefaultFile))
        ->type_name("FILE");
    app_.add_flag("--print-config", print_,
                  "Print the effective values and where each comes from, then exit.");
    app_.allow_extras();
    app_.fallthrough();
    app_.require_subcommand(0, 1);
    serve_ = app_.add_subcommand("serve", "Run the server. This is also what happens without a command.");
    migrate_ = app_.add_subcommand("migrate", "Bring the database's tables to this version, then exit.");
    reference_ = app_.add_subcommand("config-reference", "Print docs/configuration.md, then exit.");
    slot_table_ = app_.add_subcommand(
        "slot-table",
        "Print the built-in table of certificate slots, to correct and use as slots.file, then exit.");
    AddOptions();
    app_.footer(
        "Every option is also a key of the file (--phone-listen is \"listen\" in the section \"phone\") and "
        "an\n"
        "environment variable (PHONEPKI_PHONE_LISTEN). A flag wins over a variable, a variable over the "
        "file.");
  }

  // False: nothing more to do than print text().
  bool Parse(int argc, const char* const* argv, Loader& loader) {
    std::vector<std::string> words;
    for (int i = argc - 1; i > 0; --i) {  // CLI11 takes them last to first
      if (!TakeEmptied(argv[i])) words.emplace_back(argv[i]);
    }
    try {
      app_.parse(words);
    } catch (const CLI::CallForHelp&) {
      text_ = app_.help();
      return false;
    } catch (const CLI::CallForVersion& version) {
      text_ = std::string(version.what()) + "\n";
      return false;
    } catch (const CLI::ParseError& error) {
      loader.Mistake("command line", error.what());
      return true;
    }
    ReportExtras(loader);
    if (reference_->parsed()) {
      text_ = ConfigReference();
      return !loader.status().ok();
    }
    if (slot_table_->parsed()) {
      text_ = provisioning::SlotTable::BuiltInText();
      return !loader.status().ok();
    }
    return true;
  }

  void Apply(Loader& loader) const {
    for (const ConfigOption* option : emptied_) loader.SetFlag(*option, "");
    for (const auto& [option, flag] : flags_) {
      if (flag->count() == 0) continue;
      const std::vector<std::string> results = flag->results();
      loader.SetFlag(*option, option->is_list ? absl::StrJoin(results, ",") : results.back());
    }
  }

  const std::string& text() const { return text_; }
  const std::string& file() const { return file_; }
  bool print() const { return print_; }
  bool migrate() const { return migrate_->parsed(); }

 private:
  void AddOptions() {
    const ServerConfig defaults;
    for (const ConfigSection& section : ConfigSections()) {
      for (const ConfigOption& option : ConfigOptions()) {
        if (option.Section() != section.name) continue;
        const std::string value = option.print(defaults);
        const std::string help = value.empty() ? option.help : fmt::format("{} [{}]", option.help, value);
        CLI::Option* flag = nullptr;
        if (option.is_bool) {
          flag = app_.add_flag(option.Flag(), bool_text_, help);
        } else {
          flag = app_.add_option(
              option.Flag(), [](const CLI::results_t&) { return true; }, help);
          flag->type_size(1)->expected(1);
          flag->type_name(option.type);
        }
        flag->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
        flag->group(section.title);
        flags_.emplace_back(&option, flag);
      }
    }
  }

  // "--secure-listen=" means the empty value; CLI11 would take the next word.
  bool TakeEmptied(const std::string& word) {
    for (const ConfigOption& option : ConfigOptions()) {
      if (word == option.Flag() + "=") {
        emptied_.push_back(&option);
        return true;
      }
    }
    return false;
  }

  void ReportExtras(Loader& loader) const {
    std::vector<std::string> known;
    for (const CLI::Option* flag : app_.get_options()) known.push_back(flag->get_name());
    bool after_flag = false;
    for (const std::string& word : app_.remaining(true)) {
      const std::string flag = word.substr(0, word.find('='));
      if (absl::StartsWith(word, "-")) {
        loader.Mistake(flag, "unknown option" + DidYouMean(Nearest(flag, known)));
        after_flag = flag == word;
      } else if (!after_flag) {
        loader.Mistake(
            word, "unknown command" + DidYouMean(Nearest(word, {"serve", "migrate", "config-reference"})));
      }
    }
  }

  CLI::App app_;
  CLI::App* serve_ = nullptr;
  CLI::App* migrate_ = nullptr;
  CLI::App* reference_ = nullptr;
  CLI::App* slot_table_ = nullptr;
  std::vector<std::pair<const ConfigOption*, CLI::Option*>> flags_;
  std::vector<const ConfigOption*> emptied_;
  std::string bool_text_;  // where CLI11 parses booleans to; results() is what counts
  std::string file_;
  std::string text_;
  bool print_ = false;
};

std::string FileToRead(const std::string& flag, const EnvironmentList& environment) {
  if (!flag.empty()) return flag;
  for (const std::string& entry : environment) {
    const std::string prefix = std::string(kFileVariable) + "=";
    if (absl::StartsWith(entry, prefix)) return entry.substr(prefix.size());
  }
  return access(kDefaultFile, F_OK) == 0 ? kDefaultFile : "";
}

}  // namespace

absl::StatusOr<Invocation> ParseInvocation(int argc, const char* const* argv,
                                           const EnvironmentList& environment) {
  Invocation invocation;
  Loader loader;
  CommandLine command_line;
  if (!command_line.Parse(argc, argv, loader)) {
    invocation.command = Invocation::Command::kPrint;
    invocation.text = command_line.text();
    return invocation;
  }
  if (const std::string file = FileToRead(command_line.file(), environment); !file.empty())
    loader.ReadFile(file);
  loader.ReadEnvironment(environment);
  command_line.Apply(loader);
  loader.Finish();
  if (!loader.status().ok()) return loader.status();

  invocation.warnings = loader.TakeWarnings();
  if (command_line.print()) {
    invocation.command = Invocation::Command::kPrint;
    invocation.text = loader.Print();
    return invocation;
  }
  invocation.command = command_line.migrate() ? Invocation::Command::kMigrate : Invocation::Command::kServe;
  invocation.config = loader.TakeConfig();
  return invocation;
}

EnvironmentList ProcessEnvironment() {
  EnvironmentList list;
  for (char** entry = environ; *entry != nullptr; ++entry) list.emplace_back(*entry);
  return list;
}

}  // namespace phonepki::server
