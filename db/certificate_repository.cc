#include "db/certificate_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

#define CERTIFICATE_COLUMNS                                                                            \
  "c.id, c.ca_id, c.serial, c.kind, c.state, c.subject, to_usec(c.not_before), to_usec(c.not_after), " \
  "c.tbs_digest, c.der, c.sha256, c.device_id, coalesce(v.mac, ''), coalesce(c.slot, ''), c.job_id, "  \
  "c.job_attempt, to_usec(c.created_at)"
#define CERTIFICATE_TABLES " FROM certificate c LEFT JOIN device v ON v.id = c.device_id "

namespace phonepki::db {
namespace {

constexpr Query kHeldJobs{"certificate_held_jobs", R"sql(
  SELECT job.id FROM job JOIN unnest($1::bigint[], $2::int[]) AS f (id, attempt) USING (id)
   WHERE job.attempt = f.attempt AND job.finished_at IS NULL
   ORDER BY job.id FOR NO KEY UPDATE OF job)sql"};
constexpr Query kFindIssued{"certificate_find_issued_for_jobs",
                            "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_TABLES
                            "JOIN certificate_key k ON k.certificate_id = c.id "
                            "WHERE c.job_id = ANY($1::bigint[]) AND c.state = 'issued' ORDER BY c.id"};
constexpr Query kInsertIntents{"certificate_insert_intents", R"sql(
  INSERT INTO certificate (ca_id, serial, kind, subject, not_before, not_after, tbs_digest, device_id, slot, job_id,
                           job_attempt)
  SELECT ca_id, serial, kind, subject, not_before, not_after, tbs_digest, nullif(device_id, 0), nullif(slot, ''),
         nullif(job_id, 0), nullif(job_attempt, 0)
    FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                $7::bytea[], $8::bigint[], $9::text[], $10::bigint[], $11::int[])
         WITH ORDINALITY AS i (ca_id, serial, kind, subject, not_before, not_after, tbs_digest, device_id, slot,
                               job_id, job_attempt, position)
   ORDER BY position
  RETURNING id)sql"};
constexpr Query kClaimSubjects{"subject_claim", R"sql(
  INSERT INTO subject_claim (ca_id, subject_key, device_id, slot)
  SELECT $1, subject_key, device_id, slot
    FROM unnest($2::text[], $3::bigint[], $4::text[]) AS s (subject_key, device_id, slot)
   ORDER BY subject_key
      ON CONFLICT DO NOTHING)sql"};
// C-09: a subject names one phone, in whichever of its slots. A claim passes on when its device is gone or
// has no live certificate of that name any more: addresses move from phone to phone.
constexpr Query kTakeOverSubjects{"subject_claim_take_over", R"sql(
  UPDATE subject_claim
     SET device_id = s.device_id, slot = s.slot
    FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) AS s (subject_key, device_id, slot, subject)
   WHERE subject_claim.ca_id = $1 AND subject_claim.subject_key = s.subject_key
     AND subject_claim.device_id <> s.device_id
     AND NOT EXISTS (SELECT 1 FROM certificate c
                      WHERE c.device_id = subject_claim.device_id
                        AND c.ca_id = $1 AND c.state IN ('intended', 'issued', 'active') AND c.not_after > now()
                        AND lower(c.subject) = lower(s.subject)
                        AND EXISTS (SELECT 1 FROM device v WHERE v.id = c.device_id)))sql"};
constexpr Query kOwnedSubjects{"subject_claim_owned", R"sql(
  SELECT claim.device_id IS NOT NULL
    FROM unnest($2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY AS s (subject_key, device_id, slot, position)
    LEFT JOIN subject_claim claim
           ON claim.ca_id = $1 AND claim.subject_key = s.subject_key AND claim.device_id = s.device_id
   ORDER BY s.position)sql"};
constexpr Query kHasIssuedSubject{"certificate_has_issued_subject", R"sql(
  SELECT EXISTS (SELECT 1 FROM certificate
                  WHERE ca_id = $1 AND lower(subject) = lower($2) AND state IN ('issued', 'active')
                    AND not_after > now()))sql"};
constexpr Query kStoreIssued{"certificate_store_issued", R"sql(
  UPDATE certificate
     SET state = 'issued', der = i.der, sha256 = i.sha256, issued_at = now()
    FROM unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS i (id, der, sha256)
   WHERE certificate.id = i.id AND certificate.state = 'intended')sql"};
constexpr Query kStoreKeys{"certificate_store_keys", R"sql(
  INSERT INTO certificate_key (certificate_id, wrapped_key)
  SELECT id, wrapped_key FROM unnest($1::bigint[], $2::bytea[]) AS k (id, wrapped_key)
   WHERE length(wrapped_key) > 0)sql"};
constexpr Query kDiscard{"certificate_discard", R"sql(
  UPDATE certificate SET state = 'discarded' WHERE id = ANY($1::bigint[]) AND state IN ('intended', 'issued'))sql"};
constexpr Query kDiscardKeys{"certificate_discard_keys",
                             "DELETE FROM certificate_key WHERE certificate_id = ANY($1::bigint[])"};
// The issuing CA goes along unless it is a root (C-01).
constexpr Query kDeliverable{"certificate_deliverable", R"sql(
  SELECT c.der, c.serial,
         CASE WHEN a.id IS NULL THEN c.chain
              WHEN a.parent_id IS NULL AND cardinality(a.chain) = 0 THEN '{}'::bytea[]
              ELSE array_prepend(a.certificate, trim_array(a.chain, 1)) END,
         k.wrapped_key
    FROM certificate c LEFT JOIN internal_ca a ON a.id = c.ca_id
    LEFT JOIN certificate_key k ON k.certificate_id = c.id
   WHERE c.id = $1 AND c.der IS NOT NULL)sql"};
constexpr Query kGet{"certificate_get",
                     "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_TABLES "WHERE c.id = ANY($1::bigint[])"};
#define CERTIFICATE_REST                                                                                 \
  "AND c.id < $1 AND ($3::bigint IS NULL OR c.ca_id = $3) AND ($4::bigint IS NULL OR c.device_id = $4) " \
  "AND (length($5::bytea) = 0 OR c.serial = $5) ORDER BY c.id DESC LIMIT $2"
constexpr Query kList{"certificate_list",
                      "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_TABLES "WHERE true " CERTIFICATE_REST};
constexpr Query kListByDevice{"certificate_list_by_device",
                              "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_TABLES
                              "WHERE c.device_id = $4::bigint " CERTIFICATE_REST};
constexpr Query kListBySerial{"certificate_list_by_serial", "SELECT " CERTIFICATE_COLUMNS CERTIFICATE_TABLES
                                                            "WHERE c.serial = $5 " CERTIFICATE_REST};

CertificateRecord ToCertificate(const pqxx::row& row) {
  CertificateRecord record;
  record.id = row[0].as<std::int64_t>();
  if (!row[1].is_null()) record.ca_id = row[1].as<std::int64_t>();
  record.serial = ToBytes(row[2]);
  record.kind = row[3].as<std::string>();
  record.state = row[4].as<std::string>();
  record.subject = row[5].as<std::string>();
  record.not_before = ToTime(row[6]);
  record.not_after = ToTime(row[7]);
  record.tbs_digest = ToBytes(row[8]);
  record.der = ToBytes(row[9]);
  record.sha256 = ToBytes(row[10]);
  if (!row[11].is_null()) record.device_id = row[11].as<std::int64_t>();
  record.mac = row[12].as<std::string>();
  record.slot = row[13].as<std::string>();
  if (!row[14].is_null()) record.job_id = row[14].as<std::int64_t>();
  if (!row[15].is_null()) record.job_attempt = row[15].as<int>();
  record.created_at = ToTime(row[16]);
  return record;
}

std::vector<CertificateRecord> ToCertificates(const pqxx::result& rows) {
  std::vector<CertificateRecord> records;
  for (const auto& row : rows) records.push_back(ToCertificate(row));
  return records;
}

}  // namespace

absl::StatusOr<std::vector<std::int64_t>> HeldJobs(Tx& tx, const std::vector<JobFence>& fences) {
  std::vector<std::int64_t> jobs, attempts;
  for (const JobFence& fence : fences) {
    jobs.push_back(fence.job_id);
    attempts.push_back(fence.attempt);
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kHeldJobs, jobs, attempts));
  std::vector<std::int64_t> held;
  for (const auto& row : rows) held.push_back(row[0].as<std::int64_t>());
  return held;
}

absl::StatusOr<std::vector<CertificateRecord>> FindIssuedForJobs(Tx& tx,
                                                                 const std::vector<std::int64_t>& job_ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindIssued, job_ids));
  return ToCertificates(rows);
}

absl::StatusOr<std::vector<std::int64_t>> InsertIntents(Tx& tx,
                                                        const std::vector<CertificateRecord>& intents) {
  std::vector<std::int64_t> cas, devices, jobs, attempts;
  std::vector<base::Bytes> serials, digests;
  std::vector<std::string> kinds, subjects, starts, ends, slots;
  for (const CertificateRecord& intent : intents) {
    cas.push_back(intent.ca_id.value_or(0));
    serials.push_back(intent.serial);
    kinds.push_back(intent.kind);
    subjects.push_back(intent.subject);
    starts.push_back(param::TimeLiteral(intent.not_before));
    ends.push_back(param::TimeLiteral(intent.not_after));
    digests.push_back(intent.tbs_digest);
    devices.push_back(intent.device_id.value_or(0));
    slots.push_back(intent.slot);
    jobs.push_back(intent.job_id.value_or(0));
    attempts.push_back(intent.job_attempt.value_or(0));
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kInsertIntents, cas, serials, kinds, subjects, starts, ends,
                                                 digests, devices, slots, jobs, attempts));
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  return ids;
}

absl::StatusOr<std::vector<bool>> ClaimSubjects(Tx& tx, std::int64_t ca_id,
                                                const std::vector<std::string>& subject_keys,
                                                const std::vector<std::string>& subjects,
                                                const std::vector<std::int64_t>& devices,
                                                const std::vector<std::string>& slots) {
  ASSIGN_OR_RETURN(pqxx::result inserted, tx.Execute(kClaimSubjects, ca_id, subject_keys, devices, slots));
  if (inserted.affected_rows() < subject_keys.size()) {
    RETURN_IF_ERROR(tx.Execute(kTakeOverSubjects, ca_id, subject_keys, devices, slots, subjects).status());
  }
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kOwnedSubjects, ca_id, subject_keys, devices, slots));
  std::vector<bool> owned;
  for (const auto& row : rows) owned.push_back(row[0].as<bool>());
  return owned;
}

absl::StatusOr<bool> HasIssuedSubject(Tx& tx, std::int64_t ca_id, const std::string& subject) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kHasIssuedSubject, ca_id, subject));
  return rows.at(0)[0].as<bool>();
}

absl::Status StoreIssued(Tx& tx, const std::vector<std::int64_t>& ids, const std::vector<base::Bytes>& ders,
                         const std::vector<base::Bytes>& digests,
                         const std::vector<base::Bytes>& wrapped_keys) {
  RETURN_IF_ERROR(tx.Execute(kStoreIssued, ids, ders, digests).status());
  return tx.Execute(kStoreKeys, ids, wrapped_keys).status();
}

absl::Status DiscardCertificates(Tx& tx, const std::vector<std::int64_t>& ids) {
  RETURN_IF_ERROR(tx.Execute(kDiscard, ids).status());
  return tx.Execute(kDiscardKeys, ids).status();
}

absl::StatusOr<DeliverableRecord> GetDeliverable(Tx& tx, std::int64_t certificate_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kDeliverable, certificate_id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no certificate certificates/", certificate_id));
  return DeliverableRecord{ToBytes(rows[0][0]), ToBytes(rows[0][1]), ToBytesArray(rows[0][2]),
                           ToBytes(rows[0][3])};
}

absl::StatusOr<std::vector<CertificateRecord>> GetCertificates(Tx& tx, const std::vector<std::int64_t>& ids) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGet, ids));
  return ToCertificates(rows);
}

absl::StatusOr<CertificateRecord> GetCertificate(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(std::vector<CertificateRecord> found, GetCertificates(tx, {id}));
  if (found.empty()) return base::NotFound(absl::StrCat("no certificate certificates/", id));
  return std::move(found.front());
}

absl::StatusOr<std::vector<CertificateRecord>> ListCertificates(Tx& tx, const CertificateFilter& filter,
                                                                std::int64_t before, int limit) {
  const Query& query = !filter.serial.empty() ? kListBySerial : filter.device_id ? kListByDevice : kList;
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(query, before, limit, filter.ca_id, filter.device_id, filter.serial));
  return ToCertificates(rows);
}

}  // namespace phonepki::db
