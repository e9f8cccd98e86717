#include "provisioning/slots/slot_table.h"

#include <algorithm>
#include <cstdio>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::provisioning {

extern const char kBuiltInSlots[];  // generated from certificate-slots.yaml

namespace {

template <typename T>
using Words = std::vector<std::pair<const char*, T>>;

absl::Status Mistake(const YAML::Node& node, const std::string& what) {
  return base::InvalidField("slots.file", "SLOT_TABLE",
                            absl::StrCat("line ", node.Mark().line + 1, ": ", what));
}

absl::Status OnlyKeys(const YAML::Node& node, const std::vector<std::string>& known) {
  if (!node.IsMap()) return Mistake(node, "a mapping is expected");
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return Mistake(entry.first,
                     absl::StrCat("unknown key \"", key, "\"; known: ", absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Text(const YAML::Node& node, const char* key, bool required) {
  const YAML::Node value = node[key];
  if (!value)
    return required ? Mistake(node, absl::StrCat(key, " is missing")) : absl::StatusOr<std::string>("");
  if (!value.IsScalar() || value.Scalar().empty() || value.Scalar().size() > 200) {
    return Mistake(value, absl::StrCat(key, " must be a text of 1 to 200 characters"));
  }
  return value.Scalar();
}

absl::StatusOr<std::vector<std::string>> Texts(const YAML::Node& node, const char* key) {
  std::vector<std::string> texts;
  const YAML::Node list = node[key];
  if (!list) return texts;
  if (!list.IsSequence()) return Mistake(list, absl::StrCat(key, " must be a list"));
  for (const YAML::Node& value : list) {
    if (!value.IsScalar()) return Mistake(value, absl::StrCat(key, " must be a list of texts"));
    texts.push_back(value.Scalar());
  }
  return texts;
}

template <typename T>
absl::StatusOr<T> Word(const YAML::Node& node, const char* key, const Words<T>& words) {
  ASSIGN_OR_RETURN(std::string text, Text(node, key, true));
  std::vector<std::string> known;
  for (const auto& [word, value] : words) {
    if (text == word) return value;
    known.emplace_back(word);
  }
  return Mistake(node[key], absl::StrCat(key, " must be one of ", absl::StrJoin(known, ", ")));
}

const Words<CertificateSlot::Proof>& ProofWords() {
  static const auto* const words =
      new Words<CertificateSlot::Proof>{{"probe", CertificateSlot::Proof::kProbe},
                                        {"read-back", CertificateSlot::Proof::kReadBack},
                                        {"accepted", CertificateSlot::Proof::kAccepted},
                                        {"secure-contact", CertificateSlot::Proof::kSecureContact}};
  return *words;
}

}  // namespace

std::string PrintProof(CertificateSlot::Proof proof) {
  for (const auto& [word, value] : ProofWords()) {
    if (value == proof) return word;
  }
  return "";
}

std::string PrintSupport(const SlotSupport& support) {
  std::string text = support.family;
  if (support.from) absl::StrAppend(&text, " from V", support.from->version, " R", support.from->release);
  if (support.before) {
    absl::StrAppend(&text, " before V", support.before->version, " R", support.before->release);
  }
  return text;
}

std::optional<FirmwareVersion> ParseFirmwareVersion(const std::string& text) {
  FirmwareVersion parsed;
  if (std::sscanf(text.c_str(), "V%d R%d", &parsed.version, &parsed.release) != 2) return std::nullopt;
  return parsed;
}

class SlotTableReader {
 public:
  absl::StatusOr<SlotTable> Read(const YAML::Node& root) {
    RETURN_IF_ERROR(OnlyKeys(root, {"families", "slots", "settings"}));
    for (const YAML::Node& family : root["families"]) RETURN_IF_ERROR(ReadFamily(family));
    for (const YAML::Node& slot : root["slots"]) RETURN_IF_ERROR(ReadSlot(slot));
    for (const YAML::Node& settings : root["settings"]) RETURN_IF_ERROR(ReadSettings(settings));
    for (const char* needed : {"wbm", "secure-mode"}) {
      if (table_.Find(needed) == nullptr) return Mistake(root, absl::StrCat("there is no slot ", needed));
    }
    return std::move(table_);
  }

 private:
  absl::Status ReadFamily(const YAML::Node& node) {
    RETURN_IF_ERROR(OnlyKeys(node, {"name", "device_types"}));
    SlotTable::Family family;
    ASSIGN_OR_RETURN(family.name, Text(node, "name", true));
    ASSIGN_OR_RETURN(family.device_types, Texts(node, "device_types"));
    table_.families_.push_back(std::move(family));
    return absl::OkStatus();
  }

  absl::Status ReadSlot(const YAML::Node& node) {
    using Slot = CertificateSlot;
    RETURN_IF_ERROR(OnlyKeys(
        node, {"name", "title", "holds", "profile", "item", "encoding", "pkcs12_encryption", "passphrase",
               "indexes", "info_item", "info_serial_prefixes", "proof", "confirmed", "supported_by"}));
    Slot slot;
    ASSIGN_OR_RETURN(slot.name, Text(node, "name", true));
    if (table_.Find(slot.name) != nullptr)
      return Mistake(node, absl::StrCat("slot ", slot.name, " is there twice"));
    ASSIGN_OR_RETURN(slot.title, Text(node, "title", true));
    ASSIGN_OR_RETURN(slot.holds, (Word<Slot::Holds>(node, "holds",
                                                    {{"certificate", Slot::Holds::kCertificate},
                                                     {"ca-certificates", Slot::Holds::kCaCertificates}})));
    const bool leaf = slot.holds == Slot::Holds::kCertificate;
    ASSIGN_OR_RETURN(slot.profile, Text(node, "profile", leaf));
    if (leaf && slot.profile != "wbm" && slot.profile != "spe" && slot.profile != "tls-client") {
      return Mistake(node["profile"], "profile must be wbm, spe or tls-client");
    }
    ASSIGN_OR_RETURN(slot.item, Text(node, "item", true));
    ASSIGN_OR_RETURN(slot.encoding, (Word<Slot::Encoding>(node, "encoding",
                                                          {{"pkcs12-base64", Slot::Encoding::kPkcs12Base64},
                                                           {"pem", Slot::Encoding::kPem}})));
    ASSIGN_OR_RETURN(slot.pkcs12_encryption, Text(node, "pkcs12_encryption", false));
    if (slot.pkcs12_encryption != "" && slot.pkcs12_encryption != "legacy-3des-sha1" &&
        slot.pkcs12_encryption != "aes256-sha256") {
      return Mistake(node["pkcs12_encryption"],
                     "pkcs12_encryption must be legacy-3des-sha1 or aes256-sha256");
    }
    if (node["passphrase"]) {
      ASSIGN_OR_RETURN(slot.site_passphrase,
                       (Word<bool>(node, "passphrase", {{"site", true}, {"none", false}})));
    }
    if (!leaf && slot.encoding != Slot::Encoding::kPem) {
      return Mistake(node["encoding"], "CA certificates are written as pem");
    }
    ASSIGN_OR_RETURN(slot.info_item, Text(node, "info_item", false));
    ASSIGN_OR_RETURN(slot.info_serial_prefixes, Texts(node, "info_serial_prefixes"));
    ASSIGN_OR_RETURN(slot.proof, (Word<Slot::Proof>(node, "proof", ProofWords())));
    if (slot.proof == Slot::Proof::kReadBack && slot.info_item.empty()) {
      return Mistake(node, "proof read-back needs an info_item");
    }
    if ((slot.proof == Slot::Proof::kSecureContact) != (slot.name == "secure-mode")) {
      return Mistake(node, "proof secure-contact belongs to the slot secure-mode, and only there");
    }
    ASSIGN_OR_RETURN(slot.confirmed, (Word<bool>(node, "confirmed", {{"true", true}, {"false", false}})));
    RETURN_IF_ERROR(ReadIndexes(node["indexes"], slot));
    RETURN_IF_ERROR(ReadSupport(node["supported_by"], slot));
    table_.slots_.push_back(std::move(slot));
    return absl::OkStatus();
  }

  absl::Status ReadSettings(const YAML::Node& node) {
    RETURN_IF_ERROR(
        OnlyKeys(node, {"name", "title", "service", "needs_ca", "items", "confirmed", "supported_by"}));
    CertificateSlot slot;
    slot.holds = CertificateSlot::Holds::kSettings;
    slot.proof = CertificateSlot::Proof::kReadBack;
    ASSIGN_OR_RETURN(slot.name, Text(node, "name", true));
    if (table_.Find(slot.name) != nullptr) {
      return Mistake(node, absl::StrCat("slot ", slot.name, " is there twice"));
    }
    ASSIGN_OR_RETURN(slot.title, Text(node, "title", true));
    ASSIGN_OR_RETURN(slot.service, Text(node, "service", false));
    ASSIGN_OR_RETURN(slot.confirmed, (Word<bool>(node, "confirmed", {{"true", true}, {"false", false}})));
    ASSIGN_OR_RETURN(slot.needs_ca, Texts(node, "needs_ca"));
    for (const std::string& name : slot.needs_ca) {
      const CertificateSlot* needed = table_.Find(name);
      if (needed == nullptr || needed->holds != CertificateSlot::Holds::kCaCertificates) {
        return Mistake(node["needs_ca"], absl::StrCat(name, " is no slot of CA certificates"));
      }
    }
    if (!node["items"].IsSequence() || node["items"].size() == 0) {
      return Mistake(node, "items must be a list of items");
    }
    for (const YAML::Node& item : node["items"]) RETURN_IF_ERROR(ReadSettingItem(item, slot));
    if (!slot.service.empty() && (slot.settings.size() != 1 || slot.settings[0].values.empty())) {
      return Mistake(node, "a verification policy has one item, with values");
    }
    RETURN_IF_ERROR(ReadSupport(node["supported_by"], slot));
    table_.slots_.push_back(std::move(slot));
    return absl::OkStatus();
  }

  absl::Status ReadSettingItem(const YAML::Node& node, CertificateSlot& slot) {
    RETURN_IF_ERROR(OnlyKeys(node, {"key", "item", "values"}));
    SettingItem setting;
    ASSIGN_OR_RETURN(setting.key, Text(node, "key", true));
    ASSIGN_OR_RETURN(setting.item, Text(node, "item", true));
    for (const auto& value : node["values"]) {
      if (!value.second.IsScalar())
        return Mistake(value.second, "values must be word: what the phone is told");
      setting.values.emplace_back(value.first.Scalar(), value.second.Scalar());
    }
    slot.settings.push_back(std::move(setting));
    return absl::OkStatus();
  }

  absl::Status ReadIndexes(const YAML::Node& node, CertificateSlot& slot) {
    if (!node) return absl::OkStatus();
    int first = 0, last = -1;
    if (!node.IsSequence() || node.size() != 2 || !YAML::convert<int>::decode(node[0], first) ||
        !YAML::convert<int>::decode(node[1], last) || first < 0 || last < first || last > 99) {
      return Mistake(node, "indexes must be [first, last], 0 to 99");
    }
    slot.indexes = std::pair(first, last);
    return absl::OkStatus();
  }

  absl::Status ReadSupport(const YAML::Node& node, CertificateSlot& slot) {
    for (const YAML::Node& entry : node) {
      RETURN_IF_ERROR(OnlyKeys(entry, {"family", "from", "before"}));
      SlotSupport support;
      ASSIGN_OR_RETURN(support.family, Text(entry, "family", true));
      const auto known = std::any_of(table_.families_.begin(), table_.families_.end(),
                                     [&](const auto& family) { return family.name == support.family; });
      if (!known) return Mistake(entry, absl::StrCat("there is no family ", support.family));
      for (const auto& [key, limit] :
           {std::pair("from", &support.from), std::pair("before", &support.before)}) {
        ASSIGN_OR_RETURN(std::string text, Text(entry, key, false));
        if (text.empty()) continue;
        *limit = ParseFirmwareVersion(text);
        if (!*limit) return Mistake(entry[key], absl::StrCat(key, " must be a firmware like V3 R1"));
      }
      slot.supported_by.push_back(std::move(support));
    }
    return absl::OkStatus();
  }

  SlotTable table_;
};

absl::StatusOr<SlotTable> SlotTable::Parse(const std::string& yaml) {
  YAML::Node root;
  try {
    root = YAML::Load(yaml);
    return SlotTableReader().Read(root);
  } catch (const YAML::Exception& error) {
    return base::InvalidField("slots.file", "SLOT_TABLE",
                              absl::StrCat("line ", error.mark.line + 1, ": ", error.msg));
  }
}

const char* SlotTable::BuiltInText() {
  return kBuiltInSlots;
}

const SlotTable& SlotTable::BuiltIn() {
  static const SlotTable* const table = new SlotTable(Parse(kBuiltInSlots).value());
  return *table;
}

const CertificateSlot* SlotTable::Find(const std::string& name) const {
  const auto found = std::find_if(slots_.begin(), slots_.end(),
                                  [&](const CertificateSlot& slot) { return slot.name == name; });
  return found == slots_.end() ? nullptr : &*found;
}

absl::StatusOr<const CertificateSlot*> SlotTable::Get(const std::string& name,
                                                      const std::string& field) const {
  const CertificateSlot* slot = Find(name);
  if (slot != nullptr && slot->holds != CertificateSlot::Holds::kSettings) return slot;
  std::vector<std::string> known;
  for (const CertificateSlot& one : slots_) {
    if (one.holds != CertificateSlot::Holds::kSettings) known.push_back(one.name);
  }
  return base::InvalidField(
      field, "CERTIFICATE_TYPE",
      absl::StrCat("\"", name.substr(0, 40), "\" is no certificate type; use ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<const CertificateSlot*> SlotTable::ForDevice(const std::string& name,
                                                            const std::string& device_type,
                                                            const std::string& software_version) const {
  const CertificateSlot* slot = Find(name);
  if (slot == nullptr) {
    return base::WithReason(absl::FailedPreconditionError(
                                absl::StrCat("the server's slot table has no slot ", name, " any more")),
                            "SLOT_NOT_SUPPORTED");
  }
  RETURN_IF_ERROR(CheckSupport(*slot, device_type, software_version));
  return slot;
}

absl::StatusOr<const CertificateSlot*> SlotTable::PolicyFor(const std::string& service,
                                                            const std::string& device_type,
                                                            const std::string& software_version) const {
  absl::Status why = base::WithReason(
      absl::FailedPreconditionError(absl::StrCat("no phone has a verification policy of ", service)),
      "SLOT_NOT_SUPPORTED");
  for (const CertificateSlot& slot : slots_) {
    if (slot.holds != CertificateSlot::Holds::kSettings || slot.service != service) continue;
    why = CheckSupport(slot, device_type, software_version);
    if (why.ok()) return &slot;
  }
  return why;
}

std::vector<std::string> SlotTable::PolicyServices() const {
  std::vector<std::string> services;
  for (const CertificateSlot& slot : slots_) {
    if (slot.service.empty()) continue;
    if (std::find(services.begin(), services.end(), slot.service) == services.end()) {
      services.push_back(slot.service);
    }
  }
  return services;
}

std::string SlotTable::FamilyOf(const std::string& device_type) const {
  for (const Family& family : families_) {
    for (const std::string& pattern : family.device_types) {
      const bool prefix = absl::EndsWith(pattern, "*");
      if (prefix ? absl::StartsWith(device_type, pattern.substr(0, pattern.size() - 1))
                 : device_type == pattern) {
        return family.name;
      }
    }
  }
  return "";
}

absl::Status SlotTable::CheckSupport(const CertificateSlot& slot, const std::string& device_type,
                                     const std::string& software_version) const {
  const std::string family = FamilyOf(device_type);
  if (slot.supported_by.empty() || family.empty()) return absl::OkStatus();
  const auto refuse = [&](const std::string& why) {
    return base::WithReason(
        absl::FailedPreconditionError(absl::StrCat("this phone (", device_type, ", ", software_version,
                                                   ") has no slot ", slot.name, ": ", why)),
        "SLOT_NOT_SUPPORTED");
  };
  for (const SlotSupport& support : slot.supported_by) {
    if (support.family != family) continue;
    const std::optional<FirmwareVersion> firmware = ParseFirmwareVersion(software_version);
    if (!firmware) return absl::OkStatus();
    if (support.from && *firmware < *support.from) {
      return refuse(absl::StrCat("it needs firmware V", support.from->version, " R", support.from->release));
    }
    if (support.before && *firmware >= *support.before) {
      return refuse(
          absl::StrCat("it went with firmware V", support.before->version, " R", support.before->release));
    }
    return absl::OkStatus();
  }
  return refuse(absl::StrCat("phones of the family ", family, " do not have it"));
}

}  // namespace phonepki::provisioning
