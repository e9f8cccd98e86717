// A database with a CA, a connector and whatever rows a test of the repositories asks for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "db/certificate_repository.h"
#include "db/job_repository.h"
#include "tests/testing/postgres.h"

namespace phonepki::db {

class DbFixture : public phonepki::testing::PostgresTest {
 protected:
  DbFixture();

  std::int64_t AddLocation(const std::string& name, int max_sessions = 0);
  // The n-th phone of the test; unique by n.
  std::int64_t AddDevice(int n, std::int64_t location_id = 1);
  std::int64_t AddDeployment(std::int64_t location_id = 1);
  // Devices first_device to first_device + count - 1 in the location, each with a due job of one deployment.
  std::vector<std::int64_t> AddJobs(int first_device, int count, std::int64_t location_id = 1);
  std::int64_t AddJob(int device) { return AddJobs(device, 1).at(0); }
  // 'issued', with a key, for the device's slot. No `subject`: one of its own.
  std::int64_t AddIssued(std::int64_t device_id, std::int64_t job_id = 0, const std::string& subject = "");
  std::int64_t AddIntent(std::int64_t device_id, std::int64_t job_id = 0, const std::string& subject = "");

  std::vector<JobRecord> Claim(const std::string& worker = "w", int limit = 50,
                               absl::Duration lease = absl::Minutes(1), std::int64_t after_location = 0);
  JobFence ClaimOne();
  JobRecord Job(std::int64_t id);
  std::int64_t DeviceOf(std::int64_t job_id);
  std::vector<std::int64_t> Release(const JobFence& fence, const std::string& state,
                                    const std::string& reason = "X",
                                    absl::Duration delay = absl::ZeroDuration());
  // As if the lease had run out.
  void AgeLease(std::int64_t job_id);

  std::int64_t ca_id() const { return ca_id_; }
  std::int64_t connector_id() const { return connector_id_; }

 private:
  std::int64_t ca_id_ = 0, connector_id_ = 0;
  int serial_ = 0;
};

}  // namespace phonepki::db
