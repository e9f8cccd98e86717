#include "phonesim/storage.h"

#include <algorithm>
#include <iterator>

namespace phonesim {
namespace {

using Json = nlohmann::ordered_json;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// What else of the settings that have to do with certificates and the server.
constexpr const char* kSettings[] = {"ocsp-check",      "dls-mode-secure", "dls-contact-interval",
                                     "max-pin-retries", "ldap-transport",  "sip-transport"};

constexpr std::pair<const char*, std::string CertificateFacts::*> kFacts[] = {
    {"serial", &CertificateFacts::serial},   {"sha256", &CertificateFacts::sha256},
    {"subject", &CertificateFacts::subject}, {"issuer", &CertificateFacts::issuer},
    {"from", &CertificateFacts::not_before}, {"to", &CertificateFacts::not_after}};

std::string Text(const Json& saved, const char* key) {
  const auto found = saved.is_object() ? saved.find(key) : saved.end();
  return found != saved.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

bool Storage::IsSlot(const std::string& name) {
  return EndsWith(name, "-certificate") || EndsWith(name, "-ca");
}

bool Storage::IsSetting(const std::string& name) {
  return EndsWith(name, "-authentication-policy") || EndsWith(name, "-server-validation") ||
         name.rfind("ocsr-", 0) == 0 ||
         std::find(std::begin(kSettings), std::end(kSettings), name) != std::end(kSettings);
}

std::string Storage::WriteSlot(const Item& item, const std::string& passphrase) {
  std::vector<CertificateFacts> facts;
  if (!item.value.empty()) {
    if (EndsWith(item.name, "-ca")) {
      facts = ReadCertificates(item.value);
    } else if (const auto credential = OpenEither(item.value, passphrase)) {
      facts.push_back(*credential);
    }
    if (facts.empty()) return "invalid data";
  }
  slots_[{item.name, item.index}] = std::move(facts);
  return "";
}

const std::vector<CertificateFacts>* Storage::FindSlot(const std::string& name,
                                                       const std::string& index) const {
  const auto found = slots_.find({name, index});
  return found == slots_.end() ? nullptr : &found->second;
}

const std::string* Storage::FindSetting(const std::string& name, const std::string& index) const {
  const auto found = settings_.find({name, index});
  return found == settings_.end() ? nullptr : &found->second;
}

std::vector<Item> Storage::Settings() const {
  std::vector<Item> items;
  for (const auto& [key, value] : settings_) items.push_back({key.first, key.second, value, ""});
  return items;
}

Json Storage::Save() const {
  Json saved{{"slots", Json::array()}, {"settings", Json::array()}};
  for (const auto& [key, certificates] : slots_) {
    Json list = Json::array();
    for (const CertificateFacts& one : certificates) {
      Json facts;
      for (const auto& [name, member] : kFacts) facts[name] = one.*member;
      list.push_back(std::move(facts));
    }
    saved["slots"].push_back({{"item", key.first}, {"index", key.second}, {"certificates", std::move(list)}});
  }
  for (const auto& [key, value] : settings_) {
    saved["settings"].push_back({{"item", key.first}, {"index", key.second}, {"value", value}});
  }
  return saved;
}

void Storage::Load(const Json& saved) {
  if (!saved.is_object()) return;
  for (const Json& slot : saved.value("slots", Json::array())) {
    std::vector<CertificateFacts>& certificates = slots_[{Text(slot, "item"), Text(slot, "index")}];
    for (const Json& facts : slot.value("certificates", Json::array())) {
      CertificateFacts& one = certificates.emplace_back();
      for (const auto& [name, member] : kFacts) one.*member = Text(facts, name);
    }
  }
  for (const Json& setting : saved.value("settings", Json::array())) {
    settings_[{Text(setting, "item"), Text(setting, "index")}] = Text(setting, "value");
  }
}

}  // namespace phonesim
