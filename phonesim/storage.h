// Certificates and settings that a phone only keeps: nothing in the simulator uses them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "phonesim/credential.h"
#include "phonesim/wpi.h"

namespace phonesim {

class Storage {
 public:
  // By the item's name: …-certificate takes PKCS#12 or PEM with a key, …-ca takes PEM with certificates only.
  // An empty value empties a slot.
  static bool IsSlot(const std::string& name);
  static bool IsSetting(const std::string& name);

  // The item's status, empty when it was taken.
  std::string WriteSlot(const Item& item, const std::string& passphrase);
  void WriteSetting(const Item& item) { settings_[{item.name, item.index}] = item.value; }

  // Null when nothing was ever written there.
  const std::vector<CertificateFacts>* FindSlot(const std::string& name, const std::string& index) const;
  const std::string* FindSetting(const std::string& name, const std::string& index) const;
  std::vector<Item> Settings() const;

  nlohmann::ordered_json Save() const;
  void Load(const nlohmann::ordered_json& saved);

 private:
  using Key = std::pair<std::string, std::string>;  // name and index

  std::map<Key, std::vector<CertificateFacts>> slots_;
  std::map<Key, std::string> settings_;
};

}  // namespace phonesim
