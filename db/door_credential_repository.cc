#include "db/door_credential_repository.h"

#include "base/status_macros.h"

namespace phonepki::db {
namespace {

constexpr Query kFind{"door_credential_find",
                      "SELECT door, chain, wrapped_key FROM door_credential WHERE door = $1"};
constexpr Query kInsert{"door_credential_insert", R"sql(
  INSERT INTO door_credential (door, chain, wrapped_key) VALUES ($1, $2::bytea[], $3) ON CONFLICT DO NOTHING)sql"};

}  // namespace

absl::StatusOr<std::optional<DoorCredentialRecord>> FindDoorCredential(Tx& tx, const std::string& door) {
  ASSIGN_OR_RETURN(pqxx::result rows, tx.Execute(kFind, door));
  if (rows.empty()) return std::optional<DoorCredentialRecord>();
  return std::optional<DoorCredentialRecord>(
      DoorCredentialRecord{rows[0][0].as<std::string>(), ToBytesArray(rows[0][1]), ToBytes(rows[0][2])});
}

absl::Status InsertDoorCredential(Tx& tx, const DoorCredentialRecord& credential) {
  return tx.Execute(kInsert, credential.door, credential.chain, credential.wrapped_key).status();
}

}  // namespace phonepki::db
