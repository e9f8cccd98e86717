#include "provisioning/devices/device_import.h"

#include <algorithm>
#include <optional>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/ascii.h>
#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>

#include "base/error.h"
#include "base/mac_address.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "ca/x509/network_name.h"
#include "ca/x509/utf8.h"
#include "db/deployment_repository.h"
#include "db/device_repository.h"

namespace phonepki::provisioning {
namespace {

constexpr int kStep = 1000;  // rows in one transaction
constexpr char kByteOrderMark[] = "\xef\xbb\xbf";
constexpr const char* kColumns[] = {"mac", "e164", "ip", "fqdn", "device_type", "description"};

absl::Status Take(const std::string& column, const std::string& value, db::DeviceRecord& device) {
  if (value.size() > 255) return base::InvalidField(column, "TOO_LONG", "at most 255 characters");
  if (value.find('\0') != std::string::npos || ca::CountCharacters(value) < 0) {
    return base::InvalidField(column, "ENCODING", "must be UTF-8; save the file as \"CSV UTF-8\"");
  }
  if (column == "mac") {
    ASSIGN_OR_RETURN(device.mac, base::ParseMac(value));
  } else if (column == "e164") {
    if (value.find_first_not_of("0123456789") != std::string::npos || value.size() > 15) {
      return base::InvalidField(column, "E164", "at most 15 digits and nothing else");
    }
    device.e164 = value;
  } else if (column == "ip") {
    const std::optional<base::Bytes> octets = ca::ParseIp(value);
    if (!value.empty() && !octets) return base::InvalidField(column, "IP", "must be an IP address");
    // As the database writes it, so that importing it again changes nothing.
    device.ip_address = octets ? ca::PrintIp(ca::UnmapIp(*octets)) : "";
  } else if (column == "fqdn") {
    if (!value.empty() && !ca::IsDnsName(base::ToStd(absl::StripSuffix(value, ".")))) {
      return base::InvalidField(column, "FQDN", "must be a host name of letters, digits and hyphens");
    }
    device.fqdn = value;
  } else if (column == "device_type") {
    device.device_type = value;
  } else if (column == "description") {
    device.description = value;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ReadHeader(const std::vector<std::string>& fields) {
  std::vector<std::string> columns;
  for (const std::string& field : fields) {
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(field));
    if (std::find(std::begin(kColumns), std::end(kColumns), name) == std::end(kColumns)) {
      return base::InvalidField("csv", "CSV_HEADER",
                                absl::StrCat("unknown column \"", absl::CHexEscape(name.substr(0, 40)),
                                             "\"; known are mac, e164, ip, fqdn, device_type, description"));
    }
    if (std::find(columns.begin(), columns.end(), name) != columns.end()) {
      return base::InvalidField("csv", "CSV_HEADER", absl::StrCat("the column ", name, " stands twice"));
    }
    columns.push_back(name);
  }
  if (std::find(columns.begin(), columns.end(), "mac") == columns.end()) {
    return base::InvalidField("csv", "CSV_HEADER", "the column mac is missing");
  }
  return columns;
}

// A column that is absent from the file keeps what is known.
void Overlay(const db::DeviceRecord& row, const std::vector<std::string>& columns, db::DeviceRecord& device) {
  for (const std::string& column : columns) {
    if (column == "e164") device.e164 = row.e164;
    if (column == "ip") device.ip_address = row.ip_address;
    if (column == "fqdn") device.fqdn = row.fqdn;
    if (column == "device_type") device.device_type = row.device_type;
    if (column == "description") device.description = row.description;
  }
}

bool SameFacts(const db::DeviceRecord& a, const db::DeviceRecord& b) {
  return a.e164 == b.e164 && a.ip_address == b.ip_address && a.fqdn == b.fqdn &&
         a.device_type == b.device_type && a.description == b.description && a.location_id == b.location_id;
}

absl::Status StoreStep(db::Tx& tx, Placement& placement, const std::vector<std::string>& columns,
                       const std::vector<db::DeviceRecord>& rows, ImportResult& result) {
  RETURN_IF_ERROR(db::LockPlacementShared(tx));
  ASSIGN_OR_RETURN(auto resolver, placement.Resolver(tx));
  std::vector<std::string> macs;
  for (const db::DeviceRecord& row : rows) macs.push_back(row.mac);
  ASSIGN_OR_RETURN(std::vector<db::DeviceRecord> known, db::FindDevicesByMac(tx, macs));
  absl::flat_hash_map<std::string, db::DeviceRecord> by_mac;
  for (db::DeviceRecord& device : known) by_mac[device.mac] = std::move(device);
  std::vector<db::DeviceRecord> created, updated;
  std::vector<std::int64_t> moved;
  for (const db::DeviceRecord& row : rows) {
    const auto found = by_mac.find(row.mac);
    db::DeviceRecord device = found == by_mac.end() ? row : found->second;
    Overlay(row, columns, device);
    device.location_id = resolver->Resolve(
        {device.id, device.mac, device.e164, device.ip_address, device.device_type, device.location_id});
    if (found == by_mac.end()) {
      created.push_back(device);
    } else if (SameFacts(device, found->second)) {
      ++result.unchanged;
    } else {
      if (device.location_id != found->second.location_id) moved.push_back(device.id);
      updated.push_back(device);
    }
  }
  ASSIGN_OR_RETURN(std::vector<std::int64_t> ids, db::InsertVirtualDevices(tx, created));
  RETURN_IF_ERROR(db::UpdateImportedDevices(tx, updated));
  result.created += static_cast<std::int64_t>(ids.size());
  result.updated += static_cast<std::int64_t>(updated.size());
  moved.insert(moved.end(), ids.begin(), ids.end());
  return db::CreateJobsForDevices(tx, moved).status();
}

}  // namespace

std::vector<CsvRecord> ParseCsv(const std::string& text) {
  std::vector<CsvRecord> records;
  CsvRecord record{1, {}};
  std::string field;
  std::int64_t line = 1;
  bool quoted = false;
  std::size_t begin = absl::StartsWith(text, kByteOrderMark) ? 3 : 0;  // of the record
  const auto end_record = [&] {
    record.fields.push_back(std::move(field));
    field.clear();
    const bool blank = record.fields.size() == 1 && absl::StripAsciiWhitespace(record.fields[0]).empty();
    if (!blank) records.push_back(std::move(record));
    record = {line, {}};
  };
  for (std::size_t i = begin; i < text.size() || quoted; ++i) {
    if (i >= text.size()) {
      // A quote that nothing closes spoils its own line and not the rest of the file. What follows it holds
      // no single quotes, so this happens once.
      const std::size_t end = text.find('\n', begin);
      record.fields.clear();
      record.open_quote = true;
      records.push_back(std::move(record));
      if (end == std::string::npos) return records;
      field.clear();
      quoted = false;
      line = records.back().line + 1;
      record = {line, {}};
      begin = end + 1;
      i = end;
      continue;
    }
    const char c = text[i];
    if (c == '\n') ++line;
    if (quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else if (c == '"') {
        quoted = false;
      } else {
        field += c;
      }
    } else if (c == '"' && field.empty()) {
      quoted = true;
    } else if (c == ',' || c == ';') {
      record.fields.push_back(std::move(field));
      field.clear();
    } else if (c == '\n') {
      end_record();
      begin = i + 1;
    } else if (c != '\r') {
      field += c;
    }
  }
  if (!field.empty() || !record.fields.empty()) end_record();
  return records;
}

absl::StatusOr<ImportResult> ImportDevices(db::Database& database, Placement& placement,
                                           const std::string& csv, bool validate_only) {
  const std::vector<CsvRecord> records = ParseCsv(csv);
  if (records.empty())
    return base::InvalidField("csv", "CSV_HEADER", "the file is empty; its first line names the columns");
  ASSIGN_OR_RETURN(const std::vector<std::string> columns, ReadHeader(records[0].fields));
  ImportResult result;
  std::vector<db::DeviceRecord> rows;
  absl::flat_hash_map<std::string, std::int64_t> seen;
  for (std::size_t i = 1; i < records.size(); ++i) {
    const CsvRecord& record = records[i];
    db::DeviceRecord row;
    absl::Status status;
    if (record.open_quote) {
      status = base::WithReason(absl::InvalidArgumentError("a quotation mark is opened and never closed"),
                                "CSV_QUOTE");
    } else if (record.fields.size() != columns.size()) {
      status =
          base::WithReason(absl::InvalidArgumentError(absl::StrCat("the line has ", record.fields.size(),
                                                                   " fields, the header ", columns.size())),
                           "CSV_FIELDS");
    }
    for (std::size_t c = 0; c < columns.size() && status.ok(); ++c) {
      status = Take(columns[c], std::string(absl::StripAsciiWhitespace(record.fields[c])), row);
    }
    if (status.ok() && row.mac.empty())
      status = base::InvalidField("mac", "MAC", "a MAC address is required");
    if (status.ok() && !seen.try_emplace(row.mac, record.line).second) {
      status =
          base::InvalidField("mac", "DUPLICATE", absl::StrCat("the same MAC stands in line ", seen[row.mac]));
    }
    if (!status.ok()) {
      result.errors.push_back(
          {record.line, base::FieldOf(status), base::ReasonOf(status), std::string(status.message())});
      continue;
    }
    rows.push_back(std::move(row));
  }
  for (std::size_t from = 0; from < rows.size(); from += kStep) {
    const std::vector<db::DeviceRecord> step(rows.begin() + from,
                                             rows.begin() + std::min(from + kStep, rows.size()));
    ImportResult counted;
    RETURN_IF_ERROR(database.InTransaction("device_import", [&](db::Tx& tx) -> absl::Status {
      counted = {};
      RETURN_IF_ERROR(StoreStep(tx, placement, columns, step, counted));
      return validate_only ? db::DryRunEnd() : absl::OkStatus();
    }));
    result.created += counted.created;
    result.updated += counted.updated;
    result.unchanged += counted.unchanged;
  }
  return result;
}

}  // namespace phonepki::provisioning
