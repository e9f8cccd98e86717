#include "db/slot_repository.h"

#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr Query kGetLeaf{"slot_get_leaf", R"sql(
  SELECT s.imported_id, i.sha256, coalesce(s.imported_id = s.active_id, false), s.active_id,
         k.certificate_id IS NOT NULL
    FROM device_slot s LEFT JOIN certificate i ON i.id = s.imported_id
    LEFT JOIN certificate_key k ON k.certificate_id = s.imported_id
   WHERE s.device_id = $1 AND s.slot = $2)sql"};
constexpr Query kInsertFile{"certificate_insert_from_file", R"sql(
  INSERT INTO certificate (serial, kind, state, subject, not_before, not_after, der, sha256, chain, device_id, slot,
                           issued_at)
  VALUES ($1, $2, 'issued', $3, $4::timestamptz, $5::timestamptz, $6, $7, $8::bytea[], $9, $10, now())
  RETURNING id)sql"};
constexpr Query kInsertKey{"certificate_key_insert",
                           "INSERT INTO certificate_key (certificate_id, wrapped_key) VALUES ($1, $2)"};

// What was imported and never reached the phone: of no use to anybody, its key least of all.
constexpr Query kDiscardImported{"slot_discard_imported", R"sql(
  WITH former AS (
    SELECT c.id FROM device_slot s JOIN certificate c ON c.id = s.imported_id
     WHERE s.device_id = ANY($1::bigint[]) AND s.slot = $2 AND c.state = 'issued'),
  keys AS (DELETE FROM certificate_key WHERE certificate_id IN (SELECT id FROM former))
  UPDATE certificate SET state = 'discarded' WHERE id IN (SELECT id FROM former) AND state = 'issued')sql"};
constexpr Query kSetImported{"slot_set_imported", R"sql(
  INSERT INTO device_slot (device_id, slot, imported_id, imported_at)
  SELECT device_id, $2, certificate_id, now()
    FROM unnest($1::bigint[], $3::bigint[]) AS i (device_id, certificate_id)
      ON CONFLICT (device_id, slot)
      DO UPDATE SET imported_id = excluded.imported_id, imported_at = excluded.imported_at)sql"};
constexpr Query kClearImported{"slot_clear_imported", R"sql(
  UPDATE device_slot SET imported_id = NULL, imported_at = NULL WHERE device_id = $1 AND slot = $2)sql"};
constexpr Query kFindOtherHolder{"certificate_find_other_holder", R"sql(
  SELECT v.mac FROM certificate c JOIN device v ON v.id = c.device_id
   WHERE c.serial = $2 AND c.sha256 = $3 AND c.device_id <> $1 AND c.state IN ('issued', 'active') LIMIT 1)sql"};
constexpr Query kRemoveActive{"slot_remove_active", R"sql(
  WITH gone AS (
    UPDATE certificate SET state = 'superseded'
     WHERE device_id = $1 AND slot = $2 AND state = 'active')
  UPDATE device_slot SET active_id = NULL, active_at = NULL WHERE device_id = $1 AND slot = $2)sql"};

// Again and again the same few: looked up first, so that ids are not used up for nothing.
constexpr Query kKeepCas{"trusted_ca_keep", R"sql(
  INSERT INTO trusted_ca (sha256, der, serial, subject, not_before, not_after)
  SELECT c.sha256, c.der, c.serial, c.subject, c.not_before, c.not_after
    FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::timestamptz[], $6::timestamptz[])
         AS c (sha256, der, serial, subject, not_before, not_after)
   WHERE NOT EXISTS (SELECT 1 FROM trusted_ca t WHERE t.sha256 = c.sha256)
   ORDER BY c.sha256
      ON CONFLICT (sha256) DO NOTHING)sql"};
constexpr Query kFindCas{"trusted_ca_find", R"sql(
  SELECT t.id FROM unnest($1::bytea[]) WITH ORDINALITY AS c (sha256, number) JOIN trusted_ca t USING (sha256)
   ORDER BY c.number)sql"};
#define CA_COLUMNS(ca)                                                            \
  ca ".id, " ca ".sha256, " ca ".der, " ca ".serial, " ca ".subject, to_usec(" ca \
     ".not_before), to_usec(" ca ".not_after)"
constexpr Query kListPlaces{"device_ca_list",
                            "SELECT p.slot, p.position, coalesce(CASE WHEN EXISTS (SELECT 1 FROM job j WHERE "
                            "j.device_id = p.device_id "
                            "AND j.slot = p.slot AND j.finished_at IS NULL AND j.deployment_id IS NULL) "
                            "THEN p.wanted END, ''), to_usec(p.imported_at), "
                            "to_usec(p.active_at), " CA_COLUMNS("i") ", " CA_COLUMNS("a") R"sql(
    FROM device_ca p LEFT JOIN trusted_ca i ON i.id = p.imported_id LEFT JOIN trusted_ca a ON a.id = p.active_id
   WHERE p.device_id = $1 AND ($2 = '' OR p.slot = $2) ORDER BY p.slot, p.position)sql"};
constexpr Query kSetImportedCas{"device_ca_set_imported", R"sql(
  INSERT INTO device_ca (device_id, slot, position, imported_id, imported_at)
  SELECT $1, $2, position, ca, now() FROM unnest($3::int[], $4::bigint[]) AS i (position, ca)
      ON CONFLICT (device_id, slot, position)
      DO UPDATE SET imported_id = excluded.imported_id, imported_at = excluded.imported_at, wanted = NULL)sql"};
constexpr Query kClearImportedCas{"device_ca_clear_imported", R"sql(
  UPDATE device_ca SET imported_id = NULL, imported_at = NULL, wanted = NULL
   WHERE device_id = $1 AND slot = $2 AND position = ANY($3::int[]))sql"};
// Left by a job that did not come to it.
constexpr Query kResetWantedCas{"device_ca_reset_wanted", R"sql(
  UPDATE device_ca SET wanted = NULL
   WHERE device_id = $1 AND slot = $2 AND wanted IS NOT NULL
     AND NOT EXISTS (SELECT 1 FROM job j WHERE j.device_id = $1 AND j.slot = $2 AND j.finished_at IS NULL
                                           AND j.deployment_id IS NULL))sql"};
// What a deployment has brought since stays.
constexpr Query kWantNewCas{"device_ca_want_new", R"sql(
  UPDATE device_ca SET wanted = 'activate'
   WHERE device_id = $1 AND slot = $2 AND imported_id IS DISTINCT FROM active_id
     AND imported_id IS NOT NULL AND (active_at IS NULL OR imported_at >= active_at))sql"};
constexpr Query kWantSameCas{"device_ca_want_same", R"sql(
  UPDATE device_ca SET wanted = 'activate' WHERE device_id = $1 AND slot = $2 AND imported_id = active_id)sql"};
constexpr Query kWantCaRemoval{"device_ca_want_removal", R"sql(
  UPDATE device_ca SET imported_id = NULL, imported_at = NULL, wanted = CASE WHEN active_id IS NOT NULL THEN 'remove' END
   WHERE device_id = $1 AND slot = $2 AND position = ANY($3::int[]))sql"};
constexpr Query kSettleCas{"device_ca_settle_wanted", R"sql(
  UPDATE device_ca
     SET active_id = CASE wanted WHEN 'activate' THEN imported_id END,
         active_at = CASE wanted WHEN 'activate' THEN now() END, wanted = NULL
   WHERE device_id = $1 AND slot = $2 AND wanted IS NOT NULL)sql"};
constexpr Query kSetActiveCas{"device_ca_set_active", R"sql(
  INSERT INTO device_ca (device_id, slot, position, active_id, active_at)
  SELECT $1, $2, position, ca, now() FROM unnest($3::int[], $4::bigint[]) AS i (position, ca)
      ON CONFLICT (device_id, slot, position)
      DO UPDATE SET active_id = excluded.active_id, active_at = excluded.active_at, wanted = NULL)sql"};
// Rows that say nothing any more.
constexpr Query kDropEmpty{"device_ca_drop_empty", R"sql(
  DELETE FROM device_ca WHERE device_id = $1 AND slot = $2 AND imported_id IS NULL AND active_id IS NULL)sql"};

// Raising attempt takes the job away from whoever holds it. A certificate that a deployment's job had not
// brought to the phone yet is of no use any more; its key goes.
constexpr Query kSupersede{"job_supersede_by_operator", R"sql(
  WITH taken AS (
    SELECT id, certificate_id, deployment_id IS NOT NULL AND state NOT IN ('running', 'verifying') AS unused
      FROM job
     WHERE device_id = ANY($1::bigint[]) AND slot = $2 AND finished_at IS NULL
       AND ($3::boolean IS FALSE OR deployment_id IS NULL)
     ORDER BY id FOR NO KEY UPDATE),
  keys AS (DELETE FROM certificate_key k USING taken WHERE taken.unused AND k.certificate_id = taken.certificate_id),
  unused AS (
    UPDATE certificate SET state = 'discarded' FROM taken
     WHERE taken.unused AND certificate.id = taken.certificate_id AND certificate.state = 'issued')
  UPDATE job
     SET state = 'superseded', reason = 'SUPERSEDED_BY_OPERATOR', reason_text = $4, attempt = attempt + 1,
         worker = NULL, lease_expires_at = NULL, finished_at = now()
    FROM taken WHERE job.id = taken.id)sql"};
constexpr Query kUnderWay{"job_manual_under_way", R"sql(
  SELECT id FROM job
   WHERE device_id = $1 AND slot = $2 AND finished_at IS NULL AND deployment_id IS NULL AND certificate_id IS NOT NULL
     AND state IN ('running', 'verifying'))sql"};
constexpr Query kCreateJob{"job_create_manual", R"sql(
  INSERT INTO job (device_id, location_id, slot, certificate_id, run_at, deadline, manual_deadline)
  SELECT id, location_id, $2, $3, now(), now() + make_interval(secs => $4::float8),
         make_interval(secs => $4::float8)
    FROM device WHERE id = $1
      ON CONFLICT (device_id, slot) WHERE finished_at IS NULL DO NOTHING
  RETURNING id)sql"};

std::optional<TrustedCaRecord> ToCa(const pqxx::row& row, int first) {
  if (row[first].is_null()) return std::nullopt;
  return TrustedCaRecord{
      row[first].as<std::int64_t>(), ToBytes(row[first + 1]),          ToBytes(row[first + 2]),
      ToBytes(row[first + 3]),       row[first + 4].as<std::string>(), ToTime(row[first + 5]),
      ToTime(row[first + 6])};
}

}  // namespace

absl::StatusOr<LeafSlotRecord> GetLeafSlot(Tx& tx, std::int64_t device_id, const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetLeaf, device_id, slot));
  LeafSlotRecord record;
  if (rows.empty()) return record;
  if (!rows[0][0].is_null()) record.imported_id = rows[0][0].as<std::int64_t>();
  record.imported_sha256 = ToBytes(rows[0][1]);
  record.imported_is_active = rows[0][2].as<bool>();
  if (!rows[0][3].is_null()) record.active_id = rows[0][3].as<std::int64_t>();
  record.imported_has_key = rows[0][4].as<bool>();
  return record;
}

absl::StatusOr<std::int64_t> InsertFileCertificate(Tx& tx, const CertificateRecord& certificate,
                                                   const std::vector<base::Bytes>& chain,
                                                   const base::Bytes& wrapped_key) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kInsertFile, certificate.serial, certificate.kind, certificate.subject,
                              certificate.not_before, certificate.not_after, certificate.der,
                              certificate.sha256, chain, certificate.device_id.value(), certificate.slot));
  const auto id = rows.at(0)[0].as<std::int64_t>();
  RETURN_IF_ERROR(tx.Execute(kInsertKey, id, wrapped_key).status());
  return id;
}

absl::Status SetImported(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                         const std::vector<std::int64_t>& certificates) {
  RETURN_IF_ERROR(tx.Execute(kDiscardImported, devices, slot).status());
  return tx.Execute(kSetImported, devices, slot, certificates).status();
}

absl::Status ClearImported(Tx& tx, std::int64_t device_id, const std::string& slot) {
  RETURN_IF_ERROR(tx.Execute(kDiscardImported, std::vector<std::int64_t>{device_id}, slot).status());
  return tx.Execute(kClearImported, device_id, slot).status();
}

absl::StatusOr<std::optional<std::string>> FindOtherHolder(Tx& tx, std::int64_t device_id,
                                                           const base::Bytes& serial,
                                                           const base::Bytes& sha256) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindOtherHolder, device_id, serial, sha256));
  if (rows.empty()) return std::optional<std::string>();
  return std::optional<std::string>(rows[0][0].as<std::string>());
}

absl::Status RemoveActive(Tx& tx, std::int64_t device_id, const std::string& slot) {
  return tx.Execute(kRemoveActive, device_id, slot).status();
}

absl::StatusOr<std::vector<std::int64_t>> KeepTrustedCas(Tx& tx, const std::vector<TrustedCaRecord>& cas) {
  std::vector<base::Bytes> digests, ders, serials;
  std::vector<std::string> subjects, starts, ends;
  for (const TrustedCaRecord& ca : cas) {
    digests.push_back(ca.sha256);
    ders.push_back(ca.der);
    serials.push_back(ca.serial);
    subjects.push_back(ca.subject);
    starts.push_back(param::TimeLiteral(ca.not_before));
    ends.push_back(param::TimeLiteral(ca.not_after));
  }
  RETURN_IF_ERROR(tx.Execute(kKeepCas, digests, ders, serials, subjects, starts, ends).status());
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindCas, digests));
  std::vector<std::int64_t> ids;
  for (const auto& row : rows) ids.push_back(row[0].as<std::int64_t>());
  // Another transaction keeps the same one and has not committed yet; its row becomes visible to a new one.
  if (ids.size() != cas.size()) return absl::AbortedError("CA certificates are being recorded; try again");
  return ids;
}

absl::StatusOr<std::vector<CaPlaceRecord>> ListCaPlaces(Tx& tx, std::int64_t device_id,
                                                        const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListPlaces, device_id, slot));
  std::vector<CaPlaceRecord> places;
  for (const auto& row : rows) {
    const std::string wanted = row[2].as<std::string>();
    places.push_back({row[0].as<std::string>(), row[1].as<int>(), ToCa(row, 5), ToOptionalTime(row[3]),
                      ToCa(row, 12), ToOptionalTime(row[4]),
                      wanted == "activate" ? CaPlaceRecord::Wanted::kActivate
                      : wanted == "remove" ? CaPlaceRecord::Wanted::kRemove
                                           : CaPlaceRecord::Wanted::kNothing});
  }
  return places;
}

absl::Status SetImportedCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                            const std::vector<std::int64_t>& positions,
                            const std::vector<std::int64_t>& cas) {
  return tx.Execute(kSetImportedCas, device_id, slot, positions, cas).status();
}

absl::Status ClearImportedCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                              const std::vector<std::int64_t>& positions) {
  RETURN_IF_ERROR(tx.Execute(kClearImportedCas, device_id, slot, positions).status());
  return tx.Execute(kDropEmpty, device_id, slot).status();
}

absl::StatusOr<bool> WantCaActivation(Tx& tx, std::int64_t device_id, const std::string& slot) {
  RETURN_IF_ERROR(tx.Execute(kResetWantedCas, device_id, slot).status());
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kWantNewCas, device_id, slot));
  if (rows.affected_rows() > 0) return true;
  ASSIGN_OR_RETURN(pqxx::result same, tx.Execute(kWantSameCas, device_id, slot));
  return same.affected_rows() > 0;
}

absl::Status WantCaRemoval(Tx& tx, std::int64_t device_id, const std::string& slot,
                           const std::vector<std::int64_t>& positions) {
  RETURN_IF_ERROR(tx.Execute(kWantCaRemoval, device_id, slot, positions).status());
  return tx.Execute(kDropEmpty, device_id, slot).status();
}

absl::Status SettleWantedCas(Tx& tx, std::int64_t device_id, const std::string& slot) {
  RETURN_IF_ERROR(tx.Execute(kSettleCas, device_id, slot).status());
  return tx.Execute(kDropEmpty, device_id, slot).status();
}

absl::Status SetActiveCas(Tx& tx, std::int64_t device_id, const std::string& slot,
                          const std::vector<std::int64_t>& positions, const std::vector<std::int64_t>& cas) {
  return tx.Execute(kSetActiveCas, device_id, slot, positions, cas).status();
}

absl::Status SupersedeJobs(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& slot,
                           bool manual_only, const std::string& text) {
  return tx.Execute(kSupersede, devices, slot, manual_only, text).status();
}

absl::StatusOr<std::optional<std::int64_t>> FindManualJobUnderWay(Tx& tx, std::int64_t device_id,
                                                                  const std::string& slot) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kUnderWay, device_id, slot));
  if (rows.empty()) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(rows[0][0].as<std::int64_t>());
}

absl::StatusOr<std::optional<std::int64_t>> CreateManualJob(Tx& tx, std::int64_t device_id,
                                                            const std::string& slot,
                                                            std::optional<std::int64_t> certificate_id,
                                                            absl::Duration deadline) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kCreateJob, device_id, slot, certificate_id, absl::ToDoubleSeconds(deadline)));
  if (rows.empty()) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(rows[0][0].as<std::int64_t>());
}

}  // namespace phonepki::db
