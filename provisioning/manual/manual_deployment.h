// Manual certificate deployment (B-040 to B-053): import for chosen phones from a file or from a connector,
// activate, delete. Every function treats each phone by itself and says what came of it; a status is about
// the whole request. docs of reasons: proto/phonepki/deployment/v1/manual_deployment.proto.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "ca/keystore/keystore.h"
#include "ca/x509/certificate.h"
#include "db/database.h"
#include "provisioning/manual/device_selection.h"
#include "provisioning/pki/issuance.h"
#include "provisioning/slots/slot_table.h"

namespace phonepki::provisioning {

inline constexpr int kMaxSelectedDevices = 1000;

struct ManualOptions {
  bool activate = false;
  bool replace = false;
  bool share_key = false;
  bool validate_only = false;
};

// Thread-safe.
class ManualDeployment {
 public:
  // `on_jobs` is called after jobs were created.
  ManualDeployment(db::Database& database, Issuance& issuance, const ca::Keystore& keystore,
                   const SlotTable& slots, const base::Clock& clock, absl::Duration job_deadline,
                   std::function<void()> on_jobs)
      : database_(database),
        issuance_(issuance),
        keystore_(keystore),
        slots_(slots),
        clock_(clock),
        job_deadline_(job_deadline),
        on_jobs_(std::move(on_jobs)) {}

  struct FileImport {
    std::vector<DeviceOutcome> outcomes;
    std::vector<ca::CertificateInfo> certificates;  // own certificate alone, or the CAs
  };
  absl::StatusOr<FileImport> ImportFile(const Selection& selection, const std::string& slot,
                                        std::string_view content, const base::Secret& passphrase,
                                        const ManualOptions& options, const std::string& actor);
  absl::StatusOr<std::vector<DeviceOutcome>> ImportFromConnector(const Selection& selection,
                                                                 const std::string& slot,
                                                                 std::int64_t connector_id,
                                                                 const ManualOptions& options,
                                                                 const std::string& actor);
  absl::StatusOr<std::vector<DeviceOutcome>> Activate(const Selection& selection, const std::string& slot,
                                                      bool validate_only, const std::string& actor);
  // `sha256` as of a CA certificate, lower-case hexadecimal; empty: all of the slot.
  absl::StatusOr<std::vector<DeviceOutcome>> DeleteImported(const Selection& selection,
                                                            const std::string& slot,
                                                            const std::string& sha256, bool validate_only,
                                                            const std::string& actor);
  absl::StatusOr<std::vector<DeviceOutcome>> DeleteActive(const Selection& selection, const std::string& slot,
                                                          const std::string& sha256, bool validate_only,
                                                          const std::string& actor);

 private:
  using ActOn = absl::FunctionRef<absl::Status(db::Tx&, const db::DeviceRecord&, DeviceOutcome&)>;

  absl::StatusOr<const CertificateSlot*> SlotFor(const std::string& name) const;
  // Does `act_on` for each phone that has the slot.
  absl::StatusOr<std::vector<DeviceOutcome>> ForEach(const char* name, const Selection& selection,
                                                     const CertificateSlot& slot, bool validate_only,
                                                     const std::string& actor, ActOn act_on);
  absl::Status ImportLeaf(db::Tx& tx, const db::DeviceRecord& device, const CertificateSlot& slot,
                          const ca::CertificateInfo& leaf, const std::vector<base::Bytes>& chain,
                          const ca::PrivateKey& key, DeviceOutcome& outcome) const;
  // With options.activate also on the phone; only then what the slot held beyond them is removed.
  absl::Status ImportCas(db::Tx& tx, const db::DeviceRecord& device, const CertificateSlot& slot,
                         const std::vector<ca::CertificateInfo>& cas, const ManualOptions& options,
                         DeviceOutcome& outcome) const;
  // An inner status: JOB_UNDER_WAY.
  static absl::StatusOr<absl::Status> NothingUnderWay(db::Tx& tx, const db::DeviceRecord& device,
                                                      const CertificateSlot& slot);
  // What is imported goes to the phone.
  absl::Status ActivateOn(db::Tx& tx, const db::DeviceRecord& device, const CertificateSlot& slot,
                          DeviceOutcome& outcome) const;

  db::Database& database_;
  Issuance& issuance_;
  const ca::Keystore& keystore_;
  const SlotTable& slots_;
  const base::Clock& clock_;
  const absl::Duration job_deadline_;
  const std::function<void()> on_jobs_;
};

}  // namespace phonepki::provisioning
