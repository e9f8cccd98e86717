#include "db/session_repository.h"

#include "tests/db/db_fixture.h"

namespace phonepki::db {
namespace {

const base::Bytes kCookie(32, 1);
const base::Bytes kOther(32, 2);

class SessionRepositoryTest : public DbFixture {
 protected:
  SessionRecord NewSession(std::int64_t device_id) const {
    SessionRecord session;
    session.device_id = device_id;
    session.door = "default";
    session.remote_address = "10.0.0.2";
    session.step = session_step::kInventory;
    return session;
  }
  void Open(const base::Bytes& cookie, const SessionRecord& session,
            absl::Duration lifetime = absl::Minutes(1)) {
    Run([&](Tx& tx) { return OpenSession(tx, cookie, session, "start-up", lifetime); });
  }
  std::optional<SessionRecord> Find(const base::Bytes& cookie) {
    return Do([&](Tx& tx) { return FindSessionForUpdate(tx, cookie); });
  }
};

TEST_F(SessionRepositoryTest, IsFoundByAnyReplicaThroughItsCookie) {
  const std::int64_t job = AddJob(1);
  SessionRecord session = NewSession(DeviceOf(job));
  session.job = JobFence{job, 3};
  Open(kCookie, session);
  auto replica = OpenDatabase();
  auto found = replica->InTransactionReturning("t", [](Tx& tx) { return FindSessionForUpdate(tx, kCookie); });
  ASSERT_OK(found);
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->device_id, session.device_id);
  EXPECT_EQ((*found)->remote_address, "10.0.0.2");
  EXPECT_EQ((*found)->step, "inventory");
  ASSERT_TRUE((*found)->job.has_value());
  EXPECT_EQ((*found)->job->job_id, job);
  EXPECT_EQ((*found)->job->attempt, 3);
  EXPECT_FALSE(Find(kOther).has_value());
}

TEST_F(SessionRepositoryTest, ANewSessionOfTheDeviceReplacesTheFormer) {
  const std::int64_t device = AddDevice(1);
  Open(kCookie, NewSession(device));
  Open(kOther, NewSession(device));
  EXPECT_FALSE(Find(kCookie).has_value());
  EXPECT_TRUE(Find(kOther).has_value());
  EXPECT_EQ(Value<int>("SELECT count(*) FROM phone_session"), 1);
}

TEST_F(SessionRepositoryTest, AReplacedSessionStartsItsFragmentsAnew) {
  const std::int64_t device = AddDevice(1);
  Open(kCookie, NewSession(device));
  SessionRecord session = *Find(kCookie);
  session.fragments = 7;
  Run([&](Tx& tx) { return AdvanceSession(tx, session, absl::Minutes(1)); });
  EXPECT_EQ(Find(kCookie)->fragments, 7);
  Open(kOther, NewSession(device));
  EXPECT_EQ(Find(kOther)->fragments, 0);
}

TEST_F(SessionRepositoryTest, AdvancingMovesTheStepAndTheExpiry) {
  Open(kCookie, NewSession(AddDevice(1)), absl::Seconds(5));
  SessionRecord session = *Find(kCookie);
  session.step = session_step::kWrite;
  Run([&](Tx& tx) { return AdvanceSession(tx, session, absl::Hours(1)); });
  EXPECT_EQ(Find(kCookie)->step, "write");
  EXPECT_TRUE(Value<bool>("SELECT expires_at > now() + interval '50 minutes' FROM phone_session"));
}

TEST_F(SessionRepositoryTest, AnExpiredSessionIsNotFoundAndIsSweptAway) {
  Open(kCookie, NewSession(AddDevice(1)), absl::Seconds(-1));
  Open(kOther, NewSession(AddDevice(2)));
  EXPECT_FALSE(Find(kCookie).has_value());
  EXPECT_EQ(Do([](Tx& tx) { return DeleteExpiredSessions(tx, 100); }), 1);
  EXPECT_TRUE(Find(kOther).has_value());
}

TEST_F(SessionRepositoryTest, ClosesByIdAndByDevice) {
  const std::int64_t device = AddDevice(2);
  Open(kCookie, NewSession(AddDevice(1)));
  Open(kOther, NewSession(device));
  Run([&](Tx& tx) { return CloseSession(tx, (*FindSessionForUpdate(tx, kCookie))->id); });
  EXPECT_FALSE(Find(kCookie).has_value());
  EXPECT_TRUE(Find(kOther).has_value());
  Run([&](Tx& tx) { return CloseSessionsOfDevice(tx, device); });
  EXPECT_FALSE(Find(kOther).has_value());
}

TEST_F(SessionRepositoryTest, GoesWithItsDevice) {
  const std::int64_t device = AddDevice(1);
  Open(kCookie, NewSession(device));
  Sql("DELETE FROM device");
  EXPECT_FALSE(Find(kCookie).has_value());
}

}  // namespace
}  // namespace phonepki::db
