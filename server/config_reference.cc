#include <fmt/format.h>

#include "server/config.h"
#include "server/config_options.h"

namespace phonepki::server {

std::string ConfigReference() {
  const ServerConfig defaults;
  std::string text =
      "# Configuration of phonepkid\n\n"
      "Made by `phonepkid config-reference > docs/configuration.md`; a test compares the two.\n\n"
      "A value comes from a flag, else an environment variable, else the YAML file (`--config`, "
      "`PHONEPKI_CONFIG`, or\n"
      "`/etc/phonepki/phonepkid.yaml` when it exists), else the default. The key `phone.listen` is `listen:` "
      "in the\n"
      "section `phone:` of the file, the flag `--phone-listen` and the variable `PHONEPKI_PHONE_LISTEN`. "
      "Lists are YAML\n"
      "lists or, in flags and variables, separated by commas. Unknown keys are errors. Everything is checked "
      "before a\n"
      "port opens; `phonepkid --print-config` shows the effective values and where each comes from.\n";
  for (const ConfigSection& section : ConfigSections()) {
    text +=
        fmt::format("\n## {}\n\n| key | type | default | what |\n| --- | --- | --- | --- |\n", section.title);
    for (const ConfigOption& option : ConfigOptions()) {
      if (option.Section() != section.name) continue;
      const std::string value = option.print(defaults);
      std::string type = option.type;
      for (std::size_t at = 0; (at = type.find('|', at)) != std::string::npos; at += 2)
        type.replace(at, 1, "\\|");
      text += fmt::format("| `{}` | {} | {} | {} |\n", option.key, type,
                          value.empty() ? "" : fmt::format("`{}`", value), option.help);
    }
  }
  return text;
}

}  // namespace phonepki::server
