// The one table of configuration keys. Adding a key = a member in ServerConfig and a row in
// config_options.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "server/config.h"

namespace phonepki::server {

struct ConfigOption {
  std::string key;   // "phone.listen"; without a dot for the top level
  std::string type;  // "duration", "address", "a | b"
  std::string help;  // one sentence; a second one for what an operator would otherwise ask
  bool is_bool = false;
  bool is_list = false;
  std::function<absl::Status(ServerConfig&, const std::string&)> parse;  // the error says what would be right
  std::function<std::string(const ServerConfig&)> print;                 // what `parse` reads back
  std::function<std::string(const ServerConfig&)> check;                 // empty: the value is good

  std::string Section() const;   // "phone", or empty
  std::string Flag() const;      // "--phone-listen"
  std::string Variable() const;  // "PHONEPKI_PHONE_LISTEN"
};

struct ConfigSection {
  std::string name;   // "phone", or empty for the top level
  std::string title;  // "Phone door, default mode"
};

const std::vector<ConfigOption>& ConfigOptions();
const std::vector<ConfigSection>& ConfigSections();

// nullptr when there is none.
const ConfigOption* FindConfigOption(const std::string& key);

// The candidate that `word` is probably a slip of, or empty.
std::string Nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace phonepki::server
