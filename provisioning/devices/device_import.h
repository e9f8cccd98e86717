// Phones from a CSV file (D-33): a bad row does not lose the others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "db/database.h"
#include "provisioning/devices/placement.h"

namespace phonepki::provisioning {

struct ImportError {
  std::int64_t line = 0;
  std::string field, reason, message;
};

struct ImportResult {
  std::int64_t created = 0, updated = 0, unchanged = 0;
  std::vector<ImportError> errors;
};

// RFC 4180 fields of one record per element; line numbers count from 1. A record whose quote is never closed
// is its first line, without fields.
struct CsvRecord {
  std::int64_t line = 0;
  std::vector<std::string> fields;
  bool open_quote = false;
};
std::vector<CsvRecord> ParseCsv(const std::string& text);

// Header: mac (required), e164, ip, fqdn, device_type, description. kInvalidArgument CSV_HEADER.
absl::StatusOr<ImportResult> ImportDevices(db::Database& database, Placement& placement,
                                           const std::string& csv, bool validate_only);

}  // namespace phonepki::provisioning
