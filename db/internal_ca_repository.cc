#include "db/internal_ca_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

#define CA_COLUMNS                                                                       \
  "id, display_name, description, enabled, parent_id, certificate, chain, wrapped_key, " \
  "to_usec(not_before), "                                                                \
  "to_usec(not_after), to_usec(created_at)"

namespace phonepki::db {
namespace {

constexpr char kKind[] = "an internal CA";

constexpr Query kInsert{"ca_insert", R"sql(
  INSERT INTO internal_ca (display_name, description) VALUES ($1, $2) RETURNING id)sql"};
constexpr Query kSetCertificate{"ca_set_certificate", R"sql(
  UPDATE internal_ca
     SET certificate = $2, chain = $3::bytea[], wrapped_key = $4, not_before = $5::timestamptz,
         not_after = $6::timestamptz, parent_id = $7
   WHERE id = $1 AND certificate IS NULL)sql"};
constexpr Query kGet{"ca_get", "SELECT " CA_COLUMNS " FROM internal_ca WHERE id = $1"};
constexpr Query kLock{"ca_lock", "SELECT " CA_COLUMNS " FROM internal_ca WHERE id = $1 FOR UPDATE"};
constexpr Query kFind{"ca_find_by_name", "SELECT id FROM internal_ca WHERE display_name = $1"};
constexpr Query kList{"ca_list",
                      "SELECT " CA_COLUMNS
                      " FROM internal_ca WHERE id > $1 AND (enabled OR NOT $3) ORDER BY id LIMIT $2"};
constexpr Query kUpdate{"ca_update",
                        "UPDATE internal_ca SET display_name = $2, description = $3 WHERE id = $1"};
constexpr Query kSetEnabled{"ca_set_enabled", "UPDATE internal_ca SET enabled = $2 WHERE id = $1"};
// A subordinate takes its key with it; its certificate at the parent is of no use to anybody.
constexpr Query kDiscardOwn{"ca_discard_own_certificate", R"sql(
  UPDATE certificate SET state = 'discarded'
    FROM internal_ca a
   WHERE a.id = $1 AND certificate.ca_id = a.parent_id AND certificate.kind = 'ca' AND certificate.der = a.certificate)sql"};
constexpr Query kForgetDiscarded{"ca_forget_discarded",
                                 "DELETE FROM certificate WHERE ca_id = $1 AND state = 'discarded'"};
constexpr Query kDelete{"ca_delete", "DELETE FROM internal_ca WHERE id = $1"};
constexpr Query kConnectors{"ca_connectors", R"sql(
  SELECT display_name FROM connector WHERE issuing_ca_id = $1 AND (enabled OR NOT $2) ORDER BY display_name)sql"};
constexpr Query kDependents{"ca_dependents", R"sql(
  SELECT 'connector "' || display_name || '" issues from it' FROM connector WHERE issuing_ca_id = $1
   UNION ALL
  SELECT 'internal CA "' || display_name || '" is its subordinate' FROM internal_ca WHERE parent_id = $1
   UNION ALL
  SELECT 'it has issued certificates that are on record'
   WHERE EXISTS (SELECT 1 FROM certificate WHERE ca_id = $1 AND state <> 'discarded'))sql"};

InternalCaRecord ToCa(const pqxx::row& row) {
  InternalCaRecord ca;
  ca.id = row[0].as<std::int64_t>();
  ca.display_name = row[1].as<std::string>();
  ca.description = row[2].as<std::string>();
  ca.enabled = row[3].as<bool>();
  if (!row[4].is_null()) ca.parent_id = row[4].as<std::int64_t>();
  ca.certificate = ToBytes(row[5]);
  ca.chain = ToBytesArray(row[6]);
  ca.wrapped_key = ToBytes(row[7]);
  ca.not_before = ToTime(row[8]);
  ca.not_after = ToTime(row[9]);
  ca.created_at = ToTime(row[10]);
  return ca;
}

absl::StatusOr<InternalCaRecord> One(Tx& tx, const Query& query, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(query, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no internal CA internalCas/", id));
  return ToCa(rows[0]);
}

std::vector<std::string> ToTexts(const pqxx::result& rows) {
  std::vector<std::string> texts;
  for (const auto& row : rows) texts.push_back(row[0].as<std::string>());
  return texts;
}

}  // namespace

absl::StatusOr<std::int64_t> InsertInternalCa(Tx& tx, const std::string& display_name,
                                              const std::string& description) {
  absl::StatusOr<pqxx::result> rows = tx.Execute(kInsert, display_name, description);
  if (!rows.ok()) return base::NameTaken(rows.status(), kKind, display_name);
  return rows->at(0)[0].as<std::int64_t>();
}

absl::Status SetInternalCaCertificate(Tx& tx, const InternalCaRecord& ca) {
  ASSIGN_OR_RETURN(pqxx::result set, tx.Execute(kSetCertificate, ca.id, ca.certificate, ca.chain,
                                                ca.wrapped_key, ca.not_before, ca.not_after, ca.parent_id));
  if (set.affected_rows() == 1) return absl::OkStatus();
  return base::WithReason(absl::FailedPreconditionError("the internal CA already has a certificate and key"),
                          "CA_HAS_CERTIFICATE");
}

absl::StatusOr<InternalCaRecord> GetInternalCa(Tx& tx, std::int64_t id) {
  return One(tx, kGet, id);
}
absl::StatusOr<InternalCaRecord> LockInternalCa(Tx& tx, std::int64_t id) {
  return One(tx, kLock, id);
}

absl::StatusOr<std::int64_t> FindInternalCaByDisplayName(Tx& tx, const std::string& display_name) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFind, display_name));
  if (rows.empty()) return base::NotFound(absl::StrCat("no internal CA is named \"", display_name, "\""));
  return rows[0][0].as<std::int64_t>();
}

absl::StatusOr<std::vector<InternalCaRecord>> ListInternalCas(Tx& tx, bool enabled_only, std::int64_t after,
                                                              int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kList, after, limit, enabled_only));
  std::vector<InternalCaRecord> cas;
  for (const auto& row : rows) cas.push_back(ToCa(row));
  return cas;
}

absl::Status UpdateInternalCa(Tx& tx, const InternalCaRecord& ca) {
  return base::NameTaken(tx.Execute(kUpdate, ca.id, ca.display_name, ca.description).status(), kKind,
                         ca.display_name);
}

absl::Status SetInternalCaEnabled(Tx& tx, std::int64_t id, bool enabled) {
  return tx.Execute(kSetEnabled, id, enabled).status();
}

absl::Status DeleteInternalCa(Tx& tx, std::int64_t id) {
  RETURN_IF_ERROR(tx.Execute(kDiscardOwn, id).status());
  RETURN_IF_ERROR(tx.Execute(kForgetDiscarded, id).status());
  return tx.Execute(kDelete, id).status();
}

absl::StatusOr<std::vector<std::string>> ListConnectorsOfCa(Tx& tx, std::int64_t id, bool enabled_only) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kConnectors, id, enabled_only));
  return ToTexts(rows);
}

absl::StatusOr<std::vector<std::string>> ListCaDependents(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kDependents, id));
  return ToTexts(rows);
}

}  // namespace phonepki::db
