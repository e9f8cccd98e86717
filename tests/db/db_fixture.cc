#include "tests/db/db_fixture.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace phonepki::db {

DbFixture::DbFixture() {
  ca_id_ = Value<std::int64_t>("INSERT INTO internal_ca (display_name) VALUES ('CA') RETURNING id");
  connector_id_ =
      Value<std::int64_t>("INSERT INTO connector (display_name) VALUES ('Connector') RETURNING id");
}

std::int64_t DbFixture::AddLocation(const std::string& name, int max_sessions) {
  return Value<std::int64_t>(absl::StrCat("INSERT INTO location (display_name, max_sessions) VALUES ('", name,
                                          "', ", max_sessions, ") RETURNING id"));
}

std::int64_t DbFixture::AddDevice(int n, std::int64_t location_id) {
  return Value<std::int64_t>(
      absl::StrFormat("INSERT INTO device (mac, location_id, ip_address) VALUES ('00:1A:E8:00:%02X:%02X', "
                      "%d, '10.0.%d.%d') RETURNING id",
                      n / 256, n % 256, location_id, n / 250, n % 250 + 1));
}

std::int64_t DbFixture::AddDeployment(std::int64_t location_id) {
  return Value<std::int64_t>(absl::StrCat(
      "INSERT INTO deployment (location_id, slot, connector_id, job_deadline, started_at) VALUES (",
      location_id, ", 'wbm', ", connector_id_, ", interval '1 day', now()) RETURNING id"));
}

std::vector<std::int64_t> DbFixture::AddJobs(int first_device, int count, std::int64_t location_id) {
  const std::int64_t deployment = AddDeployment(location_id);
  std::vector<std::int64_t> jobs;
  for (int n = first_device; n < first_device + count; ++n) {
    const std::int64_t device = AddDevice(n, location_id);
    jobs.push_back(Value<std::int64_t>(absl::StrCat(
        "INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline) VALUES (",
        deployment, ", ", device, ", ", location_id,
        ", 'wbm', now(), now() + interval '1 day') RETURNING id")));
  }
  return jobs;
}

std::int64_t DbFixture::AddIntent(std::int64_t device_id, std::int64_t job_id, const std::string& subject) {
  CertificateRecord intent;
  intent.ca_id = ca_id_;
  ++serial_;
  intent.serial = {0x40, static_cast<std::uint8_t>(serial_ >> 8), static_cast<std::uint8_t>(serial_)};
  intent.kind = "wbm";
  intent.subject = subject.empty() ? absl::StrCat("CN=", serial_) : subject;
  intent.not_before = absl::FromUnixSeconds(1700000000);
  intent.not_after = absl::FromUnixSeconds(4000000000);
  intent.tbs_digest = base::Bytes(32, 7);
  if (device_id != 0) {
    intent.device_id = device_id;
    intent.slot = "wbm";
  }
  if (job_id != 0) {
    intent.job_id = job_id;
    intent.job_attempt = 1;
  }
  return Do([&](Tx& tx) { return InsertIntents(tx, {intent}); }).at(0);
}

std::int64_t DbFixture::AddIssued(std::int64_t device_id, std::int64_t job_id, const std::string& subject) {
  const std::int64_t id = AddIntent(device_id, job_id, subject);
  Run([&](Tx& tx) {
    return StoreIssued(tx, {id}, {base::Bytes{0x30, 0x01}}, {base::Bytes(32, 9)}, {base::Bytes{1, 2, 3}});
  });
  return id;
}

std::vector<JobRecord> DbFixture::Claim(const std::string& worker, int limit, absl::Duration lease,
                                        std::int64_t after_location) {
  return Do([&](Tx& tx) { return ClaimDueKnocks(tx, {worker, limit, lease, after_location}); });
}

JobFence DbFixture::ClaimOne() {
  const std::vector<JobRecord> claimed = Claim("w", 1);
  EXPECT_EQ(claimed.size(), 1u);
  return claimed.empty() ? JobFence{} : JobFence{claimed[0].id, claimed[0].attempt};
}

JobRecord DbFixture::Job(std::int64_t id) {
  return Do([&](Tx& tx) { return GetJob(tx, id); });
}

std::int64_t DbFixture::DeviceOf(std::int64_t job_id) {
  return Job(job_id).device_id;
}

std::vector<std::int64_t> DbFixture::Release(const JobFence& fence, const std::string& state,
                                             const std::string& reason, absl::Duration delay) {
  return Do([&](Tx& tx) { return ReleaseJobs(tx, {{fence, state, reason, "text", delay}}); });
}

void DbFixture::AgeLease(std::int64_t job_id) {
  Sql(absl::StrCat("UPDATE job SET lease_expires_at = now() - interval '1 second' WHERE id = ", job_id));
}

}  // namespace phonepki::db
