#include "provisioning/delivery/slot_items.h"

#include <optional>

#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_split.h>

#include "base/status_macros.h"
#include "ca/x509/certificate.h"
#include "provisioning/delivery/phone_text.h"

namespace phonepki::provisioning {
namespace {

constexpr std::size_t kMaxInfo = 8000;

std::optional<int> FirstIndex(const CertificateSlot& slot) {
  return slot.indexes ? std::optional<int>(slot.indexes->first) : std::nullopt;
}

ca::Pkcs12Encryption EncryptionOf(const CertificateSlot& slot, const DeliveryOptions& options) {
  if (slot.pkcs12_encryption.empty()) return options.pkcs12_encryption;
  return slot.pkcs12_encryption == "aes256-sha256" ? ca::Pkcs12Encryption::kAes256Sha256
                                                   : ca::Pkcs12Encryption::kLegacy3DesSha1;
}

// Iterations slow down who guesses a pass phrase. The empty one is guessed at once: there they would cost a
// fifth of the server's time and help nobody.
int IterationsFor(const base::Secret& passphrase, const DeliveryOptions& options) {
  if (options.pkcs12_iterations != 0) return options.pkcs12_iterations;
  return passphrase.empty() ? 1 : 2048;
}

}  // namespace

absl::StatusOr<phone::Item> CertificateItem(const CertificateSlot& slot,
                                            const db::DeliverableRecord& deliverable,
                                            const Issuance& issuance, const DeliveryOptions& options) {
  if (slot.encoding == CertificateSlot::Encoding::kPem) {
    ASSIGN_OR_RETURN(base::Secret pem, issuance.MakePem(deliverable));
    return phone::Item{slot.item, FirstIndex(slot), std::string(pem.view()), ""};
  }
  const base::Secret none;
  const base::Secret& passphrase = slot.site_passphrase ? options.pkcs12_passphrase : none;
  ASSIGN_OR_RETURN(base::Secret pkcs12,
                   issuance.MakePkcs12(deliverable, passphrase, EncryptionOf(slot, options),
                                       IterationsFor(passphrase, options)));
  return phone::Item{slot.item, FirstIndex(slot),
                     absl::Base64Escape(absl::string_view(pkcs12.view().data(), pkcs12.size())), ""};
}

phone::Item DeletionItem(const CertificateSlot& slot, int position) {
  return {slot.item, slot.indexes ? std::optional<int>(position) : std::nullopt, "", ""};
}

phone::Item CaItem(const CertificateSlot& slot, int position, const base::Bytes& certificate) {
  phone::Item item = DeletionItem(slot, position);
  item.value = ca::ToPem(certificate);
  return item;
}

std::vector<phone::Item> InfoItems(const CertificateSlot& slot) {
  if (slot.holds == CertificateSlot::Holds::kSettings) {
    std::vector<phone::Item> items;
    for (const SettingItem& setting : slot.settings) items.push_back({setting.item, std::nullopt, "", ""});
    return items;
  }
  if (slot.info_item.empty()) return {};
  return {{slot.info_item, FirstIndex(slot), "", ""}};
}

std::string InfoOf(const CertificateSlot& slot, const phone::WorkpointMessage& message) {
  return Clip(message.Value(slot.info_item), kMaxInfo);
}

std::string SerialOf(const CertificateSlot& slot, const std::string& info) {
  for (const auto& line : absl::StrSplit(info, absl::ByAnyChar("\r\n;"))) {
    const std::string text = absl::AsciiStrToLower(absl::StripAsciiWhitespace(line));
    for (const std::string& prefix : slot.info_serial_prefixes) {
      if (!absl::StartsWith(text, absl::AsciiStrToLower(prefix))) continue;
      std::string digits;
      for (char c : text.substr(prefix.size())) {
        if (absl::ascii_isxdigit(c)) digits += c;
      }
      return digits;
    }
  }
  return "";
}

}  // namespace phonepki::provisioning
