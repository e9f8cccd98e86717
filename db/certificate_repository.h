// Certificates: intents before the key is used, results after it, subject claims (C-09), phone keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "base/bytes.h"
#include "db/database.h"
#include "db/job_record.h"

namespace phonepki::db {

struct CertificateRecord {
  std::int64_t id = 0;
  std::optional<std::int64_t> ca_id;  // none: imported from a file
  base::Bytes serial;
  std::string kind;
  std::string state;
  std::string subject;
  absl::Time not_before, not_after;
  base::Bytes tbs_digest;  // empty: not signed here
  base::Bytes der, sha256;
  std::optional<std::int64_t> device_id;
  std::string mac;  // of the device, on reading
  std::string slot;
  std::optional<std::int64_t> job_id;
  std::optional<int> job_attempt;
  absl::Time created_at;
};

// What is to be delivered: certificate, its parents without the root, the wrapped key (empty = erased).
struct DeliverableRecord {
  base::Bytes certificate;
  base::Bytes serial;
  std::vector<base::Bytes> chain;
  base::Bytes wrapped_key;
};

// Which of these jobs are still held at that attempt; locks them against a new holder.
absl::StatusOr<std::vector<std::int64_t>> HeldJobs(Tx& tx, const std::vector<JobFence>& fences);
// Certificates made for these jobs that are still fit to deliver: issued, with the key at hand.
absl::StatusOr<std::vector<CertificateRecord>> FindIssuedForJobs(Tx& tx,
                                                                 const std::vector<std::int64_t>& job_ids);
// State 'intended'. Ids in the order of the records.
absl::StatusOr<std::vector<std::int64_t>> InsertIntents(Tx& tx,
                                                        const std::vector<CertificateRecord>& intents);
// Claims subject_keys[i], printed as subjects[i], for devices[i]; returns for each whether it now belongs to
// that device.
absl::StatusOr<std::vector<bool>> ClaimSubjects(Tx& tx, std::int64_t ca_id,
                                                const std::vector<std::string>& subject_keys,
                                                const std::vector<std::string>& subjects,
                                                const std::vector<std::int64_t>& devices,
                                                const std::vector<std::string>& slots);
// Whether the CA has a live certificate for that subject.
absl::StatusOr<bool> HasIssuedSubject(Tx& tx, std::int64_t ca_id, const std::string& subject);
// 'intended' → 'issued' with der; stores the wrapped keys (empty: none).
absl::Status StoreIssued(Tx& tx, const std::vector<std::int64_t>& ids, const std::vector<base::Bytes>& ders,
                         const std::vector<base::Bytes>& digests,
                         const std::vector<base::Bytes>& wrapped_keys);
// A connector test, or an intent that was given up: 'discarded', its key erased.
absl::Status DiscardCertificates(Tx& tx, const std::vector<std::int64_t>& ids);

absl::StatusOr<DeliverableRecord> GetDeliverable(Tx& tx, std::int64_t certificate_id);  // kNotFound
absl::StatusOr<CertificateRecord> GetCertificate(Tx& tx, std::int64_t id);              // kNotFound
absl::StatusOr<std::vector<CertificateRecord>> GetCertificates(Tx& tx, const std::vector<std::int64_t>& ids);

struct CertificateFilter {
  std::optional<std::int64_t> ca_id = {};
  std::optional<std::int64_t> device_id = {};
  base::Bytes serial = {};  // empty = any
};
// Newest first, ids below `before`.
absl::StatusOr<std::vector<CertificateRecord>> ListCertificates(Tx& tx, const CertificateFilter& filter,
                                                                std::int64_t before, int limit);

}  // namespace phonepki::db
