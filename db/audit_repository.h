// The append-only record of who did what (design.md 7). Written in the transaction of the act.
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>

#include "db/database.h"

namespace phonepki::db {

struct AuditRecord {
  std::string actor;   // subject of the caller's certificate, or "system"
  std::string action;  // "ca.create", "key.use", "connector.test", …
  std::string object;  // resource name
  std::string detail_json = "{}";
};

absl::Status AppendAudit(Tx& tx, const std::vector<AuditRecord>& records);

}  // namespace phonepki::db
