// Issues certificates through a connector (B-030 to B-036), in batches: one transaction records every intent,
// then the CA key signs, then one transaction stores the results. A crash in between leaves intents, never a
// certificate that is not on record.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/container/flat_hash_map.h>
#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "base/clock.h"
#include "base/secret.h"
#include "ca/issuers.h"
#include "ca/x509/key.h"
#include "ca/x509/pkcs12.h"
#include "ca/x509/subject_template.h"
#include "db/certificate_repository.h"
#include "db/database.h"
#include "db/job_record.h"
#include "provisioning/pki/properties.h"

namespace phonepki::provisioning {

struct CertificateOrder {
  std::int64_t device_id = 0;
  std::string slot;
  std::string kind;  // profile of the certificate: wbm, spe, tls-client
  db::JobFence job;  // job_id 0: none, the order is a person's
  std::int64_t connector_id = 0;
  ca::EndPointNames names;
};

struct IssuedForDevice {
  std::int64_t device_id = 0;
  std::int64_t certificate_id = 0;
};

struct ConnectorTestResult {
  base::Bytes certificate;
  absl::Duration duration;
};

// Of a door of this server. Signed, its intent on record, not stored yet: the caller does so
// (db::StoreIssued) together with what it is for.
struct ServerCertificate {
  std::int64_t certificate_id = 0;
  base::Bytes certificate;
  std::vector<base::Bytes> chain;  // issuing CA first, root last
  ca::PrivateKey key;
};

// Where a connector issues from at this moment.
struct IssuingCa {
  std::int64_t ca_id = 0;
  std::vector<base::Bytes> chain;  // the CA first, root last
};

// Thread-safe.
class Issuance {
 public:
  Issuance(db::Database& database, const ca::Keystore& keystore, ca::Issuers& issuers,
           const ca::KeyGenerator& keys, const base::Clock& clock)
      : database_(database), keystore_(keystore), issuers_(issuers), keys_(keys), clock_(clock) {}

  // One certificate id per order, in order. A job that already has a deliverable certificate for the same
  // names gets that one again. Refusals per order: CONNECTOR_DISABLED, PLUGIN_DISABLED, CA_DISABLED,
  // CA_EXPIRES_FIRST, SUBJECT_TAKEN (C-09), DEVICE_HAS_NO_IP, …; kAborted when the job is held by somebody
  // else by now.
  std::vector<absl::StatusOr<std::int64_t>> IssueBatch(const std::vector<CertificateOrder>& orders) {
    return IssueBatch(orders, [](db::Tx&, const std::vector<IssuedForDevice>&) { return absl::OkStatus(); });
  }
  // `store` runs in the transaction that makes the certificates known: either both last or neither.
  using StoreWith = absl::FunctionRef<absl::Status(db::Tx&, const std::vector<IssuedForDevice>&)>;
  std::vector<absl::StatusOr<std::int64_t>> IssueBatch(const std::vector<CertificateOrder>& orders,
                                                       StoreWith store);

  // B-035: end to end, thrown away, audited, no subject claimed. Does not ask whether the connector is
  // enabled.
  absl::StatusOr<ConnectorTestResult> Test(std::int64_t connector_id, const std::string& actor);

  // A TLS server certificate for a door of this server (B-061): `names`, host names and IP addresses, are its
  // alternative names, the first that fits is its common name; the rest of the subject, the validity and the
  // key are the connector's. kInvalidArgument on "server_names": SERVER_NAMES_EMPTY, SAN_INVALID. Refusals of
  // the connector as in IssueBatch. A rehearsal checks all and uses no CA key: no id, no certificate.
  absl::StatusOr<ServerCertificate> IssueForServer(std::int64_t connector_id,
                                                   const std::vector<std::string>& names, bool validate_only,
                                                   const std::string& actor);

  // Refusals of the connector as in IssueBatch.
  absl::StatusOr<IssuingCa> GetIssuingCa(std::int64_t connector_id);

  // Certificate, key and parents up to but not including the root (C-01). kFailedPrecondition KEY_ERASED.
  absl::StatusOr<base::Secret> MakePkcs12(const db::DeliverableRecord& deliverable,
                                          const base::Secret& passphrase, ca::Pkcs12Encryption encryption,
                                          int iterations) const;
  // The same as PEM: certificate, parents, private key.
  absl::StatusOr<base::Secret> MakePem(const db::DeliverableRecord& deliverable) const;

 private:
  // What a connector stands for at this moment; looked up at most once a second.
  struct Source {
    absl::Time loaded;
    absl::Status usable;  // why not, when disabled or incomplete
    db::InternalCaRecord ca;
    std::vector<base::Bytes> anchors;
    std::unique_ptr<IssuancePolicy> policy;
    std::shared_ptr<const ca::Issuer> issuer;
  };
  struct Draft;

  absl::StatusOr<std::shared_ptr<const Source>> Load(std::int64_t connector_id);
  absl::StatusOr<std::shared_ptr<Source>> Read(std::int64_t connector_id);
  absl::StatusOr<ca::PrivateKey> OpenKey(const db::DeliverableRecord& deliverable) const;
  absl::Status Prepare(const Source& source, const std::string& kind, const ca::EndPointNames& names,
                       Draft& draft);
  absl::Status RecordIntents(std::vector<Draft*>& drafts);
  absl::Status SignAndStore(std::vector<Draft*>& drafts, StoreWith store);

  db::Database& database_;
  const ca::Keystore& keystore_;
  ca::Issuers& issuers_;
  const ca::KeyGenerator& keys_;
  const base::Clock& clock_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::int64_t, std::shared_ptr<const Source>> sources_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace phonepki::provisioning
