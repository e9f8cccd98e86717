#include "db/audit_repository.h"

namespace phonepki::db {
namespace {

constexpr Query kAppend{"audit_append", R"sql(
  INSERT INTO audit_log (actor, action, object, detail)
  SELECT actor, action, object, detail::jsonb
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS a (actor, action, object, detail))sql"};

}  // namespace

absl::Status AppendAudit(Tx& tx, const std::vector<AuditRecord>& records) {
  std::vector<std::string> actors, actions, objects, details;
  for (const AuditRecord& record : records) {
    actors.push_back(record.actor);
    actions.push_back(record.action);
    objects.push_back(record.object);
    details.push_back(record.detail_json);
  }
  return tx.Execute(kAppend, actors, actions, objects, details).status();
}

}  // namespace phonepki::db
