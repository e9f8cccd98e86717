// The certificate slots of phones: which WPI items carry what, per device family and firmware (wpi.md 7).
// Data, not code: certificate-slots.yaml is built in and can be replaced by the operator (U4 in
// docs/phones.md).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace phonepki::provisioning {

// "V3 R5.12.0": compared part by part; unreadable text counts as unknown.
struct FirmwareVersion {
  int version = 0, release = 0;
  auto operator<=>(const FirmwareVersion&) const = default;
};
std::optional<FirmwareVersion> ParseFirmwareVersion(const std::string& text);

struct SlotSupport {
  std::string family;
  std::optional<FirmwareVersion> from;
  std::optional<FirmwareVersion> before;
};

// One item of a group of settings.
struct SettingItem {
  std::string key;   // "level"
  std::string item;  // of the phone
  // Our words and what the phone is told; empty: any text, told as it is.
  std::vector<std::pair<std::string, std::string>> values;
};

struct CertificateSlot {
  // Settings are no certificates, but they decide what those are good for, and go the same way.
  enum class Holds { kCertificate, kCaCertificates, kSettings };
  enum class Encoding { kPkcs12Base64, kPem };
  enum class Proof { kProbe, kReadBack, kAccepted, kSecureContact };

  std::string name;   // "wbm"; the certificate type of a deployment
  std::string title;  // for people
  Holds holds = Holds::kCertificate;
  std::string profile;  // of what is issued for it: wbm, spe, tls-client; empty for CA certificates
  std::string item;
  Encoding encoding = Encoding::kPkcs12Base64;
  // Empty: as pkcs12.encryption says. Otherwise "legacy-3des-sha1" or "aes256-sha256".
  std::string pkcs12_encryption;
  bool site_passphrase = true;                 // false: the empty pass phrase (U2)
  std::optional<std::pair<int, int>> indexes;  // first and last; none: the item has no index
  std::string info_item;                       // read back after writing; empty: none
  std::vector<std::string> info_serial_prefixes;
  Proof proof = Proof::kAccepted;
  bool confirmed = false;
  std::vector<SlotSupport> supported_by;  // empty: every phone

  // Of settings:
  std::string service;  // whose servers the phone verifies by it: "sip"; empty: another kind of setting
  std::vector<SettingItem> settings;
  std::vector<std::string>
      needs_ca;  // CA slots; without a CA in one of them verification locks the phone out

  // Places are numbered as the item is; one without an index has place 0 alone.
  int first_place() const { return indexes ? indexes->first : 0; }
  int places() const { return indexes ? indexes->second - indexes->first + 1 : 1; }
};

std::string PrintProof(CertificateSlot::Proof proof);  // "read-back", as in the file
std::string PrintSupport(const SlotSupport& support);  // "openstage from V3 R0"

class SlotTable {
 public:
  // kInvalidArgument: the first mistake, with its place in the file.
  static absl::StatusOr<SlotTable> Parse(const std::string& yaml);
  // The one that is built in.
  static const SlotTable& BuiltIn();
  static const char* BuiltInText();

  // Certificates, CA certificates and settings, in the order of the file.
  const std::vector<CertificateSlot>& slots() const { return slots_; }
  // Null when there is none.
  const CertificateSlot* Find(const std::string& name) const;
  // Of certificates. kInvalidArgument CERTIFICATE_TYPE on `field`, listing the known ones.
  absl::StatusOr<const CertificateSlot*> Get(const std::string& name, const std::string& field) const;
  // The slot, if that phone has it. kFailedPrecondition SLOT_NOT_SUPPORTED, for people: as CheckSupport(), or
  // the table does not have the slot any more.
  absl::StatusOr<const CertificateSlot*> ForDevice(const std::string& name, const std::string& device_type,
                                                   const std::string& software_version) const;
  // The verification policy of a service on that phone: families differ. kFailedPrecondition
  // SLOT_NOT_SUPPORTED, for people.
  absl::StatusOr<const CertificateSlot*> PolicyFor(const std::string& service, const std::string& device_type,
                                                   const std::string& software_version) const;
  // Services that have a verification policy, in the order of the file.
  std::vector<std::string> PolicyServices() const;
  // kFailedPrecondition SLOT_NOT_SUPPORTED, for people. A phone whose type or firmware is not known is tried.
  absl::Status CheckSupport(const CertificateSlot& slot, const std::string& device_type,
                            const std::string& software_version) const;

 private:
  struct Family {
    std::string name;
    std::vector<std::string> device_types;  // "*" at the end: prefix
  };
  std::string FamilyOf(const std::string& device_type) const;

  std::vector<Family> families_;
  std::vector<CertificateSlot> slots_;
  friend class SlotTableReader;
};

}  // namespace phonepki::provisioning
