// Import from a file (B-042, B-043).
#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "ca/issuers.h"
#include "ca/x509/certificate_file.h"
#include "ca/x509/profile.h"
#include "db/slot_repository.h"
#include "provisioning/manual/manual_deployment.h"
#include "provisioning/pki/trusted_ca.h"

namespace phonepki::provisioning {
namespace {

constexpr char kAnyPurpose[] = "2.5.29.37.0";

absl::Status WrongFile(const std::string& reason, const std::string& text) {
  return base::InvalidField("file", reason, text);
}

absl::Status CheckDates(const ca::CertificateInfo& info, absl::Time now) {
  if (info.not_after > now && info.not_before <= now) return absl::OkStatus();
  const bool expired = info.not_after <= now;
  return WrongFile(
      expired ? "CERTIFICATE_EXPIRED" : "CERTIFICATE_NOT_YET_VALID",
      absl::StrCat("\"", info.subject, "\" ", expired ? "expired on " : "is not valid before ",
                   absl::FormatTime("%Y-%m-%d %H:%M UTC", expired ? info.not_after : info.not_before,
                                    absl::UTCTimeZone())));
}

absl::Status CheckLeaf(const ca::CertificateInfo& leaf, const CertificateSlot& slot) {
  if (leaf.is_ca) {
    return WrongFile("IS_A_CA_CERTIFICATE",
                     absl::StrCat("\"", leaf.subject, "\" is the certificate of a CA, whose key must not go ",
                                  "to phones; bring the phone's own certificate"));
  }
  if (leaf.extended_key_usage.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(ca::CertificateKind kind, ca::ParseCertificateKind(slot.profile, "certificate_type"));
  for (const std::string& purpose : leaf.extended_key_usage) {
    const std::vector<std::string> fit = ca::LeafProfile(kind).extended_key_usage;
    if (purpose == kAnyPurpose || std::find(fit.begin(), fit.end(), purpose) != fit.end()) {
      return absl::OkStatus();
    }
  }
  return WrongFile("WRONG_KEY_USAGE", absl::StrCat("the extended key usage of \"", leaf.subject,
                                                   "\" does not allow its use as ", slot.title));
}

}  // namespace

absl::Status ManualDeployment::ImportLeaf(db::Tx& tx, const db::DeviceRecord& device,
                                          const CertificateSlot& slot, const ca::CertificateInfo& leaf,
                                          const std::vector<base::Bytes>& chain, const ca::PrivateKey& key,
                                          DeviceOutcome& outcome) const {
  ASSIGN_OR_RETURN(db::LeafSlotRecord former, db::GetLeafSlot(tx, device.id, slot.name));
  if (former.imported_sha256 == leaf.sha256 && former.imported_has_key && !former.imported_is_active) {
    outcome.message = "is imported already";
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(outcome.status, NothingUnderWay(tx, device, slot));
  if (!outcome.status.ok()) return absl::OkStatus();
  db::CertificateRecord record;
  record.serial = leaf.serial;
  record.kind = slot.profile;
  record.subject = leaf.subject;
  record.not_before = leaf.not_before;
  record.not_after = leaf.not_after;
  record.der = leaf.der;
  record.sha256 = leaf.sha256;
  record.device_id = device.id;
  record.slot = slot.name;
  ASSIGN_OR_RETURN(base::Secret pkcs8, key.ToPkcs8Der());
  ASSIGN_OR_RETURN(base::Bytes wrapped, keystore_.Wrap(pkcs8, ca::PhoneKeyPurpose(leaf.serial)));
  ASSIGN_OR_RETURN(std::int64_t id, db::InsertFileCertificate(tx, record, chain, wrapped));
  RETURN_IF_ERROR(
      db::SupersedeJobs(tx, {device.id}, slot.name, true, "another certificate has been imported"));
  RETURN_IF_ERROR(db::SetImported(tx, {device.id}, slot.name, {id}));
  outcome.message = "imported";
  return absl::OkStatus();
}

absl::Status ManualDeployment::ImportCas(db::Tx& tx, const db::DeviceRecord& device,
                                         const CertificateSlot& slot,
                                         const std::vector<ca::CertificateInfo>& cas,
                                         const ManualOptions& options, DeviceOutcome& outcome) const {
  using Wanted = db::CaPlaceRecord::Wanted;
  ASSIGN_OR_RETURN(std::vector<db::CaPlaceRecord> places, db::ListCaPlaces(tx, device.id, slot.name));
  std::vector<const db::CaPlaceRecord*> at(slot.places(), nullptr);
  for (const db::CaPlaceRecord& place : places) {
    const int offset = place.position - slot.first_place();
    // The table may have had more places when this was imported.
    if (offset >= 0 && offset < slot.places()) at[offset] = &place;
  }
  std::vector<std::int64_t> positions, leftover;
  std::vector<const ca::CertificateInfo*> added;
  int known = 0;
  bool disturbs = false;
  const auto put = [&](int offset, const ca::CertificateInfo& info) {
    disturbs |= at[offset] != nullptr && at[offset]->wanted != Wanted::kNothing;
    positions.push_back(slot.first_place() + offset);
    added.push_back(&info);
  };
  if (options.replace) {
    for (std::size_t i = 0; i < cas.size(); ++i) put(static_cast<int>(i), cas[i]);
    for (int offset = static_cast<int>(cas.size()); offset < slot.places(); ++offset) {
      if (at[offset] == nullptr) continue;
      leftover.push_back(slot.first_place() + offset);
      disturbs |= at[offset]->wanted != Wanted::kNothing;
    }
  } else {
    int free = 0;
    for (const ca::CertificateInfo& info : cas) {
      const auto held = std::find_if(at.begin(), at.end(), [&](const db::CaPlaceRecord* place) {
        return place != nullptr && ((place->imported && place->imported->sha256 == info.sha256) ||
                                    (place->active && place->active->sha256 == info.sha256));
      });
      if (held != at.end() && (*held)->imported && (*held)->imported->sha256 == info.sha256) {
        ++known;
        continue;
      }
      if (held != at.end()) {
        put(static_cast<int>(held - at.begin()), info);
        continue;
      }
      while (free < slot.places() && at[free] != nullptr) ++free;
      if (free == slot.places()) {
        outcome.status = base::WithReason(
            absl::FailedPreconditionError(
                absl::StrCat(slot.title, " has ", slot.places(), slot.places() == 1 ? " place" : " places",
                             " and no free one: replace what is there, or delete a CA certificate first")),
            "SLOT_FULL");
        return absl::OkStatus();
      }
      put(free++, info);
    }
  }
  std::vector<base::Bytes> ders;
  for (const ca::CertificateInfo* info : added) ders.push_back(info->der);
  ASSIGN_OR_RETURN(std::vector<db::TrustedCaRecord> records, ReadTrustedCas(ders));
  ASSIGN_OR_RETURN(std::vector<std::int64_t> ids, db::KeepTrustedCas(tx, records));
  if (disturbs) {
    RETURN_IF_ERROR(
        db::SupersedeJobs(tx, {device.id}, slot.name, true, "another certificate has been imported"));
  }
  RETURN_IF_ERROR(db::SetImportedCas(tx, device.id, slot.name, positions, ids));
  if (!leftover.empty()) RETURN_IF_ERROR(db::ClearImportedCas(tx, device.id, slot.name, leftover));
  outcome.message = known == 0 ? absl::StrCat("imported: ", added.size())
                               : absl::StrCat("imported: ", added.size(), ", there already: ", known);
  if (!options.activate) return absl::OkStatus();
  RETURN_IF_ERROR(ActivateOn(tx, device, slot, outcome));
  if (!outcome.status.ok() || leftover.empty()) return absl::OkStatus();
  return db::WantCaRemoval(tx, device.id, slot.name, leftover);
}

absl::StatusOr<ManualDeployment::FileImport> ManualDeployment::ImportFile(
    const Selection& selection, const std::string& slot_name, std::string_view content,
    const base::Secret& passphrase, const ManualOptions& options, const std::string& actor) {
  ASSIGN_OR_RETURN(const CertificateSlot* slot, SlotFor(slot_name));
  ASSIGN_OR_RETURN(ca::CertificateFile file, ca::ReadCertificateFile(content, passphrase));
  FileImport result;
  if (slot->holds == CertificateSlot::Holds::kCaCertificates) {
    ASSIGN_OR_RETURN(std::vector<base::Bytes> ders, ca::CaCertificatesOf(file));
    for (const base::Bytes& der : ders) {
      ASSIGN_OR_RETURN(ca::CertificateInfo info, ca::ParseCertificate(der));
      RETURN_IF_ERROR(CheckDates(info, clock_.Now()));
      result.certificates.push_back(std::move(info));
    }
    if (static_cast<int>(ders.size()) > slot->places()) {
      return WrongFile("TOO_MANY_CAS", absl::StrCat("the file has ", ders.size(), " CA certificates, and ",
                                                    slot->title, " has room for ", slot->places()));
    }
    ASSIGN_OR_RETURN(result.outcomes,
                     ForEach("certificate.import", selection, *slot, options.validate_only, actor,
                             [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) {
                               return ImportCas(tx, device, *slot, result.certificates, options, outcome);
                             }));
    return result;
  }
  if (!file.key || !file.leaf) {
    return WrongFile("KEY_MISSING",
                     absl::StrCat(slot->title, " is a certificate with its private key; bring a ",
                                  "file with both, such as PKCS#12"));
  }
  ASSIGN_OR_RETURN(ca::CertificateInfo leaf, ca::ParseCertificate(*file.leaf));
  RETURN_IF_ERROR(CheckDates(leaf, clock_.Now()));
  RETURN_IF_ERROR(CheckLeaf(leaf, *slot));
  if ((selection.location_id || selection.macs.size() > 1) && !options.share_key) {
    return base::InvalidField(
        "share_key", "SHARED_KEY",
        "one file for several phones means one private key on all of them: who opens "
        "one phone can pose as every other; bring a file for each, take a connector, or "
        "say that you mean it");
  }
  // Roots are left out (C-01).
  std::vector<base::Bytes> chain;
  for (const base::Bytes& parent : file.chain) {
    ASSIGN_OR_RETURN(ca::CertificateInfo info, ca::ParseCertificate(parent));
    if (!info.self_signed) chain.push_back(parent);
  }
  ASSIGN_OR_RETURN(
      result.outcomes,
      ForEach("certificate.import", selection, *slot, options.validate_only, actor,
              [&](db::Tx& tx, const db::DeviceRecord& device, DeviceOutcome& outcome) -> absl::Status {
                ASSIGN_OR_RETURN(std::optional<std::string> other,
                                 db::FindOtherHolder(tx, device.id, leaf.serial, leaf.sha256));
                if (other && !options.share_key) {
                  outcome.status = base::WithReason(
                      absl::FailedPreconditionError(absl::StrCat(
                          "the phone ", *other, " has this very certificate and key; say that you mean it")),
                      "SHARED_KEY");
                  return absl::OkStatus();
                }
                RETURN_IF_ERROR(ImportLeaf(tx, device, *slot, leaf, chain, *file.key, outcome));
                if (!options.activate || !outcome.status.ok()) return absl::OkStatus();
                return ActivateOn(tx, device, *slot, outcome);
              }));
  result.certificates.push_back(std::move(leaf));
  return result;
}

}  // namespace phonepki::provisioning
