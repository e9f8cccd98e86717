#include "db/secure_mode_repository.h"

#include <absl/strings/str_cat.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr int kMaxEventText = 500;  // characters

constexpr Query kLockCredentials{"secure_credential_lock", "SELECT pg_advisory_xact_lock(716003)"};
constexpr Query kNextCredential{"secure_credential_next",
                                "SELECT nextval(pg_get_serial_sequence('secure_credential', 'id'))"};
constexpr Query kInsertCredential{"secure_credential_insert", R"sql(
  INSERT INTO secure_credential (id, kind, connector_id, active, certificate_id, wrapped_key, chain)
  OVERRIDING SYSTEM VALUE
  SELECT $1, $2, $3, NOT EXISTS (SELECT 1 FROM secure_credential WHERE kind = $2 AND active),
         nullif($4::bigint, 0), nullif($5::bytea, ''), $6::bytea[])sql"};
#define CREDENTIAL_SELECT                                                                    \
  "SELECT s.id, s.kind, s.connector_id, n.display_name, s.active, s.certificate_id, c.der, " \
  "s.wrapped_key, s.chain, to_usec(s.created_at) FROM secure_credential s "                  \
  "JOIN connector n ON n.id = s.connector_id LEFT JOIN certificate c ON c.id = s.certificate_id "
constexpr Query kGetCredential{"secure_credential_get", CREDENTIAL_SELECT "WHERE s.id = $1"};
constexpr Query kListCredentials{"secure_credential_list", CREDENTIAL_SELECT
                                 "WHERE s.id < $1 AND ($3 = '' OR s.kind = $3) ORDER BY s.id DESC LIMIT $2"};
constexpr Query kDeactivate{"secure_credential_deactivate",
                            "UPDATE secure_credential SET active = false WHERE kind = $1 AND active"};
constexpr Query kActivate{"secure_credential_activate",
                          "UPDATE secure_credential SET active = true WHERE id = $1"};
constexpr Query kCountCredentials{"secure_credential_count",
                                  "SELECT count(*) FROM secure_credential WHERE kind = $1"};
constexpr Query kDeleteCredential{"secure_credential_delete", R"sql(
  WITH gone AS (DELETE FROM secure_credential WHERE id = $1 RETURNING certificate_id)
  UPDATE certificate SET state = 'superseded'
   WHERE id = (SELECT certificate_id FROM gone) AND state IN ('issued', 'active'))sql"};
// From the phones outside default mode, by device_security_idx, to their certificates.
constexpr Query kPhonesOfCredential{"secure_credential_phones", R"sql(
  SELECT count(*)
    FROM device v
    JOIN certificate c ON c.device_id = v.id AND c.slot = $3 AND c.state IN ('issued', 'active')
    JOIN internal_ca a ON a.id = c.ca_id
   WHERE v.security_state <> 'default' AND a.certificate = ANY($2::bytea[])
     AND NOT EXISTS (SELECT 1 FROM secure_credential o
                      WHERE o.kind = 'client' AND o.id <> $1
                        AND o.chain && array_prepend(a.certificate, a.chain)))sql"};
constexpr Query kRecordTrust{"given_trust_record", R"sql(
  INSERT INTO given_trust (job_id, device_id, anchors) VALUES ($1, $2, $3::bytea[])
      ON CONFLICT (job_id) DO UPDATE
     SET anchors = ARRAY(SELECT unnest(given_trust.anchors) INTERSECT SELECT unnest(excluded.anchors)))sql"};
constexpr Query kWithoutTrust{"device_count_without_trust", R"sql(
  SELECT count(*)
    FROM device v
    LEFT JOIN device_slot s ON s.device_id = v.id AND s.slot = $2
    LEFT JOIN certificate c ON c.id = s.active_id
    LEFT JOIN given_trust t ON t.job_id = c.job_id
   WHERE v.security_state = 'secure' AND NOT coalesce($1 = ANY(t.anchors), false))sql"};
// Of jobs before the one of the active certificate.
constexpr Query kForgetTrust{"given_trust_forget", R"sql(
  DELETE FROM given_trust
   WHERE device_id = $1 AND job_id < (SELECT job_id FROM certificate
                                       WHERE device_id = $1 AND slot = $2 AND state = 'active'))sql"};
constexpr Query kRevision{"secure_credential_revision", R"sql(
  SELECT coalesce(string_agg(id || CASE WHEN active THEN '*' ELSE '' END, ' ' ORDER BY id), '')
    FROM secure_credential)sql"};

constexpr Query kFindClient{"certificate_find_client", R"sql(
  SELECT c.id, c.ca_id, c.state, coalesce(c.slot, ''), c.not_after <= now(), v.id, v.mac, v.security_state
    FROM certificate c JOIN device v ON v.id = c.device_id
   WHERE c.sha256 = $1 AND c.kind = 'tls-client')sql"};

constexpr Query kFindEnded{"job_find_ended_enrolment", R"sql(
  SELECT j.id, j.state, coalesce(d.pin_mode, '')
    FROM job j JOIN deployment d ON d.id = j.deployment_id JOIN certificate c ON c.id = j.certificate_id
   WHERE j.device_id = $1 AND j.certificate_id = $2 AND j.slot = $3 AND j.finished_at IS NOT NULL
     AND c.state = 'issued' AND c.not_after > now()
   ORDER BY j.id DESC LIMIT 1)sql"};
constexpr Query kResume{"job_resume_enrolment", R"sql(
  UPDATE job
     SET state = 'verifying', reason = 'AWAITING_SECURE_CONTACT',
         reason_text = 'the phone called the secure door after the job had ended', attempt = attempt + 1,
         run_at = now() + d.job_deadline + interval '1 hour', deadline = now() + d.job_deadline, finished_at = NULL
    FROM deployment d WHERE job.id = $1 AND d.id = job.deployment_id AND job.finished_at IS NOT NULL)sql"};
constexpr Query kDiscardFormer{"certificate_discard_former_enrolments", R"sql(
  WITH gone AS (
    UPDATE certificate SET state = 'discarded'
     WHERE device_id = $1 AND slot = $2 AND state = 'issued'
       AND EXISTS (SELECT 1 FROM job WHERE id = certificate.job_id AND finished_at IS NOT NULL)
    RETURNING id)
  DELETE FROM certificate_key WHERE certificate_id IN (SELECT id FROM gone))sql"};

#define PIN_SELECT                                                                               \
  "SELECT device_id, wrapped_pin, CASE WHEN isfinite(expires_at) THEN to_usec(expires_at) END, " \
  "to_usec(viewed_at), expires_at <= now() FROM security_pin "
constexpr Query kFindDefaultPin{"security_pin_find_default", PIN_SELECT "WHERE device_id IS NULL"};
constexpr Query kInsertDefaultPin{"security_pin_insert_default", R"sql(
  INSERT INTO security_pin (wrapped_pin, expires_at) VALUES ($1, 'infinity') ON CONFLICT DO NOTHING)sql"};
constexpr Query kReplaceDefaultPin{"security_pin_replace_default", R"sql(
  INSERT INTO security_pin (wrapped_pin, expires_at) VALUES ($1, 'infinity')
      ON CONFLICT (device_id) DO UPDATE
     SET wrapped_pin = excluded.wrapped_pin, created_at = now(), viewed_at = NULL)sql"};
constexpr Query kFindPins{"security_pin_find",
                          PIN_SELECT "WHERE device_id = ANY($1::bigint[]) ORDER BY device_id"};
constexpr Query kInsertPins{"security_pin_insert", R"sql(
  INSERT INTO security_pin (device_id, wrapped_pin, expires_at)
  SELECT device_id, wrapped_pin, now() + make_interval(secs => $3)
    FROM unnest($1::bigint[], $2::bytea[]) AS p (device_id, wrapped_pin)
   ORDER BY device_id
      ON CONFLICT (device_id) DO UPDATE
     SET wrapped_pin = excluded.wrapped_pin, created_at = now(), expires_at = excluded.expires_at,
         viewed_at = NULL
   WHERE security_pin.expires_at <= now())sql"};
constexpr Query kReplacePin{"security_pin_replace", R"sql(
  INSERT INTO security_pin (device_id, wrapped_pin, expires_at)
  VALUES ($1, $2, now() + make_interval(secs => $3))
      ON CONFLICT (device_id) DO UPDATE
     SET wrapped_pin = excluded.wrapped_pin, created_at = now(), expires_at = excluded.expires_at,
         viewed_at = NULL)sql"};
constexpr Query kMarkViewed{"security_pin_mark_viewed", R"sql(
  UPDATE security_pin SET viewed_at = now()
   WHERE device_id = ANY($1::bigint[]) AND viewed_at IS NULL AND expires_at > now()
  RETURNING device_id)sql"};
constexpr Query kDeletePin{"security_pin_delete", "DELETE FROM security_pin WHERE device_id = $1"};
// Devices before jobs, as everywhere; a device that talks at this moment is left to the next sweep.
constexpr Query kFindExpiredPins{"security_pin_find_expired", R"sql(
  SELECT v.id
    FROM (SELECT device_id FROM security_pin WHERE expires_at <= now() ORDER BY expires_at LIMIT $1) p
    JOIN device v ON v.id = p.device_id
   ORDER BY v.id FOR NO KEY UPDATE OF v SKIP LOCKED)sql"};
constexpr Query kEndOfPins{"job_end_of_expired_pins", R"sql(
  WITH ended AS (
    UPDATE job
       SET state = 'failed', reason = 'PIN_EXPIRED',
           reason_text = 'the PIN expired before it was typed at the phone: retry the job, with a new PIN',
           attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
      FROM deployment d
     WHERE job.device_id = ANY($1::bigint[]) AND job.slot = $2 AND job.finished_at IS NULL
       AND job.state IN ('verifying', 'running') AND job.reason = 'AWAITING_PIN'
       AND d.id = job.deployment_id AND d.pin_mode = 'individual'
    RETURNING job.certificate_id),
  discarded AS (
    UPDATE certificate SET state = 'discarded'
     WHERE id IN (SELECT certificate_id FROM ended) AND state = 'issued' RETURNING id)
  DELETE FROM certificate_key WHERE certificate_id IN (SELECT id FROM discarded))sql"};
constexpr Query kDeleteExpiredPins{"security_pin_delete_expired", R"sql(
  DELETE FROM security_pin WHERE device_id = ANY($1::bigint[]) AND expires_at <= now())sql"};

constexpr Query kGetSecurity{"device_security_get",
                             "SELECT security_state, tan_failures FROM device WHERE id = $1"};
constexpr Query kSetSecurity{"device_security_set", R"sql(
  WITH changed AS (
    UPDATE device SET security_state = $2 WHERE id = ANY($1::bigint[]) RETURNING id)
  INSERT INTO security_state_event (device_id, state, text)
  SELECT id, $2, $3 FROM changed ORDER BY id)sql"};
constexpr Query kLeave{"device_leave_secure_mode", R"sql(
  WITH changed AS (
    UPDATE device SET security_state = 'default', tan_failures = 0, knock_expires_at = NULL
     WHERE id = ANY($1::bigint[]) RETURNING id)
  INSERT INTO security_state_event (device_id, state, text)
  SELECT id, 'default', $2 FROM changed ORDER BY id)sql"};
constexpr Query kLeaveSessions{"session_close_of_devices",
                               "DELETE FROM phone_session WHERE device_id = ANY($1::bigint[])"};
// Raising attempt takes the job away from whoever holds it.
constexpr Query kLeaveJobs{"job_cancel_of_leaving", R"sql(
  UPDATE job
     SET state = 'cancelled', reason = 'CANCELLED_BY_OPERATOR', reason_text = $3,
         attempt = attempt + 1, worker = NULL, lease_expires_at = NULL, finished_at = now()
   WHERE device_id = ANY($1::bigint[]) AND slot = $2 AND finished_at IS NULL)sql"};
// An intended one was signed by nobody, or is about to be: then it is stored as nothing.
constexpr Query kLeaveCertificates{"certificate_revoke_of_leaving", R"sql(
  WITH ended AS (
    UPDATE certificate SET state = CASE state WHEN 'intended' THEN 'discarded' ELSE 'revoked' END
     WHERE device_id = ANY($1::bigint[]) AND slot = $2 AND state IN ('intended', 'issued', 'active')
    RETURNING id, state),
  erased AS (DELETE FROM certificate_key WHERE certificate_id IN (SELECT id FROM ended)),
  emptied AS (
    UPDATE device_slot SET active_id = NULL, active_at = NULL
     WHERE device_id = ANY($1::bigint[]) AND slot = $2)
  SELECT count(*) FROM ended WHERE state = 'revoked')sql"};
constexpr Query kAppendState{"security_state_event_append", R"sql(
  INSERT INTO security_state_event (device_id, state, text)
  SELECT id, security_state, $2 FROM device WHERE id = $1)sql"};
constexpr Query kListStates{"security_state_event_list", R"sql(
  SELECT id, to_usec(at), state, text FROM security_state_event
   WHERE device_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3)sql"};
constexpr Query kIncrementTan{"device_tan_failed", R"sql(
  UPDATE device SET tan_failures = tan_failures + 1 WHERE id = $1 RETURNING tan_failures)sql"};
constexpr Query kResetTan{"device_tan_reset",
                          "UPDATE device SET tan_failures = 0 WHERE id = $1 AND tan_failures <> 0"};

constexpr Query kAppendEvent{"security_event_append", R"sql(
  INSERT INTO security_event (kind, door, address, mac, detail) VALUES ($1, $2, $3, $4, left($5, $6)))sql"};
#define EVENT_SELECT "SELECT id, to_usec(at), kind, door, address, mac, detail FROM security_event "
constexpr Query kListEvents{"security_event_list", EVENT_SELECT "WHERE id < $1 ORDER BY id DESC LIMIT $2"};
constexpr Query kListEventsByMac{"security_event_list_by_mac",
                                 EVENT_SELECT "WHERE mac = $3 AND id < $1 ORDER BY id DESC LIMIT $2"};

// device_security_idx holds (security_state, mac) of exactly these rows.
#define SECURE_DEVICE_SELECT                                                                      \
  "SELECT v.id, v.mac, v.location_id, l.display_name, v.e164, v.security_state, v.tan_failures, " \
  "to_usec(v.last_contact_at), to_usec(e.at), coalesce(e.text, '') "                              \
  "FROM device v JOIN location l ON l.id = v.location_id "                                        \
  "LEFT JOIN LATERAL (SELECT at, text FROM security_state_event WHERE device_id = v.id "          \
  "ORDER BY id DESC LIMIT 1) e ON true WHERE v.security_state <> 'default' "
constexpr Query kListSecure{"device_list_secure", SECURE_DEVICE_SELECT
                            "AND (v.security_state, v.mac) > ($1, $2) "
                            "ORDER BY v.security_state, v.mac LIMIT $3"};
constexpr Query kListSecureByState{"device_list_by_security_state", SECURE_DEVICE_SELECT
                                   "AND v.security_state = $1 AND v.mac > $2 ORDER BY v.mac LIMIT $3"};
constexpr Query kListPinDevices{"device_list_for_pins", R"sql(
  SELECT id, mac, e164 FROM device
   WHERE location_id = $1 AND mac > $2 AND security_state <> 'secure' ORDER BY mac LIMIT $3)sql"};

SecureCredentialRecord ToCredential(const pqxx::row& row) {
  SecureCredentialRecord credential;
  credential.id = row[0].as<std::int64_t>();
  credential.kind = row[1].as<std::string>();
  credential.connector_id = row[2].as<std::int64_t>();
  credential.connector_display_name = row[3].as<std::string>();
  credential.active = row[4].as<bool>();
  if (!row[5].is_null()) credential.certificate_id = row[5].as<std::int64_t>();
  credential.certificate = ToBytes(row[6]);
  credential.wrapped_key = ToBytes(row[7]);
  credential.chain = ToBytesArray(row[8]);
  credential.created_at = ToTime(row[9]);
  return credential;
}

SecurityPinRecord ToPin(const pqxx::row& row) {
  SecurityPinRecord pin;
  if (!row[0].is_null()) pin.device_id = row[0].as<std::int64_t>();
  pin.wrapped_pin = ToBytes(row[1]);
  pin.expires_at = ToOptionalTime(row[2]);
  pin.viewed_at = ToOptionalTime(row[3]);
  pin.expired = row[4].as<bool>();
  return pin;
}

SecurityStateEventRecord ToStateEvent(const pqxx::row& row) {
  return {row[0].as<std::int64_t>(), ToTime(row[1]), row[2].as<std::string>(), row[3].as<std::string>()};
}

SecurityEventRecord ToEvent(const pqxx::row& row) {
  return {row[0].as<std::int64_t>(), ToTime(row[1]),           row[2].as<std::string>(),
          row[3].as<std::string>(),  row[4].as<std::string>(), row[5].as<std::string>(),
          row[6].as<std::string>()};
}

SecureDeviceRecord ToSecureDevice(const pqxx::row& row) {
  SecureDeviceRecord device;
  device.device_id = row[0].as<std::int64_t>();
  device.mac = row[1].as<std::string>();
  device.location_id = row[2].as<std::int64_t>();
  device.location_display_name = row[3].as<std::string>();
  device.e164 = row[4].as<std::string>();
  device.state = row[5].as<std::string>();
  device.tan_failures = row[6].as<int>();
  device.last_contact_at = ToOptionalTime(row[7]);
  device.changed_at = ToOptionalTime(row[8]);
  device.last_text = row[9].as<std::string>();
  return device;
}

PinDeviceRecord ToPinDevice(const pqxx::row& row) {
  return {row[0].as<std::int64_t>(), row[1].as<std::string>(), row[2].as<std::string>()};
}

template <typename Convert>
auto Each(const pqxx::result& rows, Convert convert) {
  std::vector<decltype(convert(rows[0]))> records;
  for (const auto& row : rows) records.push_back(convert(row));
  return records;
}

}  // namespace

absl::Status LockSecureCredentials(Tx& tx) {
  return tx.Execute(kLockCredentials).status();
}

absl::StatusOr<std::int64_t> NextSecureCredentialId(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kNextCredential));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::Status InsertSecureCredential(Tx& tx, const SecureCredentialRecord& credential) {
  return tx
      .Execute(kInsertCredential, credential.id, credential.kind, credential.connector_id,
               credential.certificate_id.value_or(0), credential.wrapped_key, credential.chain)
      .status();
}

absl::StatusOr<SecureCredentialRecord> GetSecureCredential(Tx& tx, std::int64_t id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetCredential, id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no credential secureCredentials/", id));
  return ToCredential(rows[0]);
}

absl::StatusOr<std::vector<SecureCredentialRecord>> ListSecureCredentials(Tx& tx, const std::string& kind,
                                                                          std::int64_t before, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListCredentials, before, limit, kind));
  return Each(rows, ToCredential);
}

absl::Status ActivateSecureCredential(Tx& tx, const SecureCredentialRecord& credential) {
  // First, for secure_credential_active_idx.
  RETURN_IF_ERROR(tx.Execute(kDeactivate, credential.kind).status());
  return tx.Execute(kActivate, credential.id).status();
}

absl::StatusOr<std::int64_t> CountSecureCredentials(Tx& tx, const std::string& kind) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kCountCredentials, kind));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::Status DeleteSecureCredential(Tx& tx, const SecureCredentialRecord& credential) {
  return tx.Execute(kDeleteCredential, credential.id).status();
}

absl::StatusOr<std::int64_t> CountPhonesOfCredential(Tx& tx, const SecureCredentialRecord& credential) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kPhonesOfCredential, credential.id, credential.chain, kClientCertificateSlot));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::Status RecordGivenTrust(Tx& tx, std::int64_t job_id, std::int64_t device_id,
                              const std::vector<base::Bytes>& anchors) {
  return tx.Execute(kRecordTrust, job_id, device_id, anchors).status();
}

absl::StatusOr<std::int64_t> CountPhonesWithoutTrust(Tx& tx, const base::Bytes& anchor) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kWithoutTrust, anchor, kClientCertificateSlot));
  return rows.at(0)[0].as<std::int64_t>();
}

absl::StatusOr<std::string> SecureCredentialRevision(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kRevision));
  return rows.at(0)[0].as<std::string>();
}

absl::StatusOr<std::optional<ClientCertificateRecord>> FindClientCertificate(Tx& tx,
                                                                             const base::Bytes& sha256) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindClient, sha256));
  if (rows.empty()) return std::optional<ClientCertificateRecord>();
  const pqxx::row row = rows[0];
  ClientCertificateRecord found;
  found.certificate_id = row[0].as<std::int64_t>();
  found.ca_id = row[1].as<std::int64_t>();
  found.state = row[2].as<std::string>();
  found.slot = row[3].as<std::string>();
  found.expired = row[4].as<bool>();
  found.device_id = row[5].as<std::int64_t>();
  found.mac = row[6].as<std::string>();
  found.security_state = row[7].as<std::string>();
  return std::optional(std::move(found));
}

absl::StatusOr<std::optional<EndedEnrolmentRecord>> FindEndedEnrolment(Tx& tx, std::int64_t device_id,
                                                                       std::int64_t certificate_id) {
  ASSIGN_OR_RETURN(pqxx::result rows,
                   tx.Execute(kFindEnded, device_id, certificate_id, kClientCertificateSlot));
  if (rows.empty()) return std::optional<EndedEnrolmentRecord>();
  return std::optional(EndedEnrolmentRecord{rows[0][0].as<std::int64_t>(), rows[0][1].as<std::string>(),
                                            rows[0][2].as<std::string>()});
}

absl::Status ResumeEnrolment(Tx& tx, std::int64_t job_id) {
  return tx.Execute(kResume, job_id).status();
}

absl::Status DiscardFormerEnrolments(Tx& tx, std::int64_t device_id) {
  RETURN_IF_ERROR(tx.Execute(kDiscardFormer, device_id, kClientCertificateSlot).status());
  return tx.Execute(kForgetTrust, device_id, kClientCertificateSlot).status();
}

absl::StatusOr<std::optional<SecurityPinRecord>> FindDefaultPin(Tx& tx) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindDefaultPin));
  if (rows.empty()) return std::optional<SecurityPinRecord>();
  return std::optional(ToPin(rows[0]));
}

absl::Status InsertDefaultPin(Tx& tx, const base::Bytes& wrapped_pin) {
  return tx.Execute(kInsertDefaultPin, wrapped_pin).status();
}

absl::Status ReplaceDefaultPin(Tx& tx, const base::Bytes& wrapped_pin) {
  return tx.Execute(kReplaceDefaultPin, wrapped_pin).status();
}

absl::StatusOr<std::vector<SecurityPinRecord>> FindDevicePins(Tx& tx,
                                                              const std::vector<std::int64_t>& devices) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFindPins, devices));
  return Each(rows, ToPin);
}

absl::Status InsertDevicePins(Tx& tx, const std::vector<std::int64_t>& devices,
                              const std::vector<base::Bytes>& wrapped_pins, absl::Duration lifetime) {
  return tx.Execute(kInsertPins, devices, wrapped_pins, absl::ToDoubleSeconds(lifetime)).status();
}

absl::Status ReplaceDevicePin(Tx& tx, std::int64_t device_id, const base::Bytes& wrapped_pin,
                              absl::Duration lifetime) {
  return tx.Execute(kReplacePin, device_id, wrapped_pin, absl::ToDoubleSeconds(lifetime)).status();
}

absl::StatusOr<std::vector<std::int64_t>> MarkDevicePinsViewed(Tx& tx,
                                                               const std::vector<std::int64_t>& devices) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kMarkViewed, devices));
  return Each(rows, [](const pqxx::row& row) { return row[0].as<std::int64_t>(); });
}

absl::Status DeleteDevicePin(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kDeletePin, device_id).status();
}

absl::StatusOr<std::int64_t> SweepExpiredPins(Tx& tx, int limit) {
  ASSIGN_OR_RETURN(pqxx::result expired, tx.Execute(kFindExpiredPins, limit));
  if (expired.empty()) return 0;
  const auto devices = Each(expired, [](const pqxx::row& row) { return row[0].as<std::int64_t>(); });
  RETURN_IF_ERROR(tx.Execute(kEndOfPins, devices, kClientCertificateSlot).status());
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kDeleteExpiredPins, devices));
  return static_cast<std::int64_t>(rows.affected_rows());
}

absl::StatusOr<DeviceSecurityRecord> GetDeviceSecurity(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kGetSecurity, device_id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no device with id ", device_id));
  return DeviceSecurityRecord{rows[0][0].as<std::string>(), rows[0][1].as<int>()};
}

absl::Status SetSecurityState(Tx& tx, const std::vector<std::int64_t>& devices, const std::string& state,
                              const std::string& text) {
  return tx.Execute(kSetSecurity, devices, state, text).status();
}

absl::StatusOr<LeftSecureMode> LeaveSecureMode(Tx& tx, const std::vector<std::int64_t>& devices,
                                               const std::string& text) {
  LeftSecureMode left;
  RETURN_IF_ERROR(tx.Execute(kLeave, devices, text).status());
  RETURN_IF_ERROR(tx.Execute(kLeaveSessions, devices).status());
  ASSIGN_OR_RETURN(pqxx::result jobs, tx.Execute(kLeaveJobs, devices, kClientCertificateSlot, text));
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kLeaveCertificates, devices, kClientCertificateSlot));
  left.cancelled_jobs = static_cast<std::int64_t>(jobs.affected_rows());
  left.revoked_certificates = rows.at(0)[0].as<std::int64_t>();
  return left;
}

absl::Status AppendSecurityStateEvent(Tx& tx, std::int64_t device_id, const std::string& text) {
  return tx.Execute(kAppendState, device_id, text).status();
}

absl::StatusOr<std::vector<SecurityStateEventRecord>> ListSecurityStateEvents(Tx& tx, std::int64_t device_id,
                                                                              std::int64_t before,
                                                                              int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListStates, device_id, before, limit));
  return Each(rows, ToStateEvent);
}

absl::StatusOr<int> IncrementTanFailures(Tx& tx, std::int64_t device_id) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kIncrementTan, device_id));
  if (rows.empty()) return base::NotFound(absl::StrCat("no device with id ", device_id));
  return rows[0][0].as<int>();
}

absl::Status ResetTanFailures(Tx& tx, std::int64_t device_id) {
  return tx.Execute(kResetTan, device_id).status();
}

absl::Status AppendSecurityEvent(Tx& tx, const SecurityEventRecord& event) {
  return tx
      .Execute(kAppendEvent, event.kind, event.door, event.address, event.mac, event.detail, kMaxEventText)
      .status();
}

absl::StatusOr<std::vector<SecurityEventRecord>> ListSecurityEvents(Tx& tx, const std::string& mac,
                                                                    std::int64_t before, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, mac.empty() ? tx.Execute(kListEvents, before, limit)
                                                  : tx.Execute(kListEventsByMac, before, limit, mac));
  return Each(rows, ToEvent);
}

absl::StatusOr<std::vector<SecureDeviceRecord>> ListSecureDevices(Tx& tx, const std::string& state,
                                                                  const std::string& after_state,
                                                                  const std::string& after_mac, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, state.empty()
                                          ? tx.Execute(kListSecure, after_state, after_mac, limit)
                                          : tx.Execute(kListSecureByState, state, after_mac, limit));
  return Each(rows, ToSecureDevice);
}

absl::StatusOr<std::vector<PinDeviceRecord>> ListPinDevices(Tx& tx, std::int64_t location_id,
                                                            const std::string& after_mac, int limit) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kListPinDevices, location_id, after_mac, limit));
  return Each(rows, ToPinDevice);
}

}  // namespace phonepki::db
