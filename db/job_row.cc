#include "db/job_row.h"

#include "db/database.h"

namespace phonepki::db {

JobRecord ToJob(const pqxx::row& row, int first) {
  JobRecord job;
  job.id = row[first].as<std::int64_t>();
  job.deployment_id = row[first + 1].as<std::int64_t>(0);
  job.device_id = row[first + 2].as<std::int64_t>();
  job.location_id = row[first + 3].as<std::int64_t>();
  job.mac = row[first + 4].as<std::string>();
  job.slot = row[first + 5].as<std::string>();
  job.state = row[first + 6].as<std::string>();
  job.reason = row[first + 7].as<std::string>();
  job.reason_text = row[first + 8].as<std::string>();
  job.attempt = row[first + 9].as<int>();
  job.failures = row[first + 10].as<int>();
  job.unanswered = row[first + 11].as<int>();
  if (!row[first + 12].is_null()) job.certificate_id = row[first + 12].as<std::int64_t>();
  job.created_at = ToTime(row[first + 13]);
  job.run_at = ToTime(row[first + 14]);
  job.deadline = ToTime(row[first + 15]);
  job.finished_at = ToOptionalTime(row[first + 16]);
  return job;
}

}  // namespace phonepki::db
