// What is imported into the certificate slots of phones and what is active there, for manual deployments
// (B-040 to B-053). Imported and active are two states; a manual job brings a slot from one to the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "db/certificate_repository.h"
#include "db/database.h"

namespace phonepki::db {

// The place of a certificate with its key.
struct LeafSlotRecord {
  std::optional<std::int64_t> imported_id;
  base::Bytes imported_sha256;
  bool imported_is_active = false;
  bool imported_has_key = false;
  std::optional<std::int64_t> active_id;
};

struct TrustedCaRecord {
  std::int64_t id = 0;
  base::Bytes sha256, der, serial;
  std::string subject;
  absl::Time not_before, not_after;
};

// One place of a CA slot.
struct CaPlaceRecord {
  std::string slot;
  int position = 0;
  std::optional<TrustedCaRecord> imported;
  std::optional<absl::Time> imported_at;
  std::optional<TrustedCaRecord> active;
  std::optional<absl::Time> active_at;
  // What the unfinished manual job of the slot is to do here.
  enum class Wanted { kNothing, kActivate, kRemove } wanted = Wanted::kNothing;
};

// Of the slot on that device; an empty record when nothing was ever there.
absl::StatusOr<LeafSlotRecord> GetLeafSlot(Tx& tx, std::int64_t device_id, const std::string& slot);
// A certificate from a file, for one device and slot, with its key: state 'issued'. `certificate.ca_id` and
// `.tbs_digest` are empty.
absl::StatusOr<std::int64_t> InsertFileCertificate(Tx& tx, const CertificateRecord& certificate,
                                                   const std::vector<base::Bytes>& chain,
                                                   const base::Bytes& wrapped_key);
// certificates[i] is what is imported on devices[i] from now on; one that was never activated is discarded.
absl::Status SetImported(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                         const std::vector<std::int64_t>& certificates);
// Takes the imported certificate away again. The active one stays.
absl::Status ClearImported(Tx& tx, std::int64_t device_id, const std::string& slot);
// MAC of another device that has or is to have this very certificate.
absl::StatusOr<std::optional<std::string>> FindOtherHolder(Tx& tx, std::int64_t device_id,
                                                           const base::Bytes& serial,
                                                           const base::Bytes& sha256);
// The phone has deleted it: it is 'superseded', and the slot has no active certificate.
absl::Status RemoveActive(Tx& tx, std::int64_t device_id, const std::string& slot);

// Keeps each certificate once. Ids in the order given. Only sha256 to not_after of the records are read.
absl::StatusOr<std::vector<std::int64_t>> KeepTrustedCas(Tx& tx, const std::vector<TrustedCaRecord>& cas);
// By slot and position. An empty `slot`: of all slots.
absl::StatusOr<std::vector<CaPlaceRecord>> ListCaPlaces(Tx& tx, std::int64_t device_id,
                                                        const std::string& slot);
// These certificates are imported into these places, in place of what was; other places stay as they are.
absl::Status SetImportedCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                            const std::vector<std::int64_t>& positions, const std::vector<std::int64_t>& cas);
// Takes imported certificates away again. Active ones stay.
absl::Status ClearImportedCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                              const std::vector<std::int64_t>& positions);
// The phone is to get what is imported and newer than what it has, or the same again if nothing is newer.
// False: nothing is imported.
absl::StatusOr<bool> WantCaActivation(Tx& tx, std::int64_t device_id, const std::string& slot);
// The phone is to lose what is active in these places, and nothing is imported into them any more.
absl::Status WantCaRemoval(Tx& tx, std::int64_t device_id, const std::string& slot,
                           const std::vector<std::int64_t>& positions);
// The phone has done what was wanted.
absl::Status SettleWantedCas(Tx& tx, std::int64_t device_id, const std::string& slot);
// An automatic deployment brought these certificates: active, never imported (B-058).
absl::Status SetActiveCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                          const std::vector<std::int64_t>& positions, const std::vector<std::int64_t>& cas);

// The manual job that is bringing a certificate to the slot right now: the phone may have it already.
absl::StatusOr<std::optional<std::int64_t>> FindManualJobUnderWay(Tx& tx, std::int64_t device_id,
                                                                  const std::string& slot);
// Ends the unfinished job for the slot on these devices; `manual_only`: unless a deployment made it.
absl::Status SupersedeJobs(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                           bool manual_only, const std::string& text);
// A manual job, due at once, delivers what is imported. Nothing: somebody else was faster and has an
// unfinished job for the slot.
absl::StatusOr<std::optional<std::int64_t>> CreateManualJob(Tx& tx, std::int64_t device_id,
                                                            const std::string& slot,
                                                            std::optional<std::int64_t> certificate_id,
                                                            absl::Duration deadline);

}  // namespace phonepki::db
