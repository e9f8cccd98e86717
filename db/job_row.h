// Internal: how repositories read a JobRecord. The job is `j`, its device `v`.
#pragma once

#include <pqxx/row>

#include "db/job_record.h"

#define JOB_COLUMNS                                                                                      \
  "j.id, j.deployment_id, j.device_id, j.location_id, v.mac, j.slot, j.state, j.reason, j.reason_text, " \
  "j.attempt, j.failures, j.unanswered, j.certificate_id, to_usec(j.created_at), to_usec(j.run_at), "    \
  "to_usec(j.deadline), to_usec(j.finished_at)"

namespace phonepki::db {

inline constexpr int kJobColumns = 17;

// From the columns behind `first`.
JobRecord ToJob(const pqxx::row& row, int first = 0);

}  // namespace phonepki::db
