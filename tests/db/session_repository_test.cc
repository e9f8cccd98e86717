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
  JobFence OpenFor(std::int64_t job_id, const base::Bytes& cookie = kCookie) {
    const SessionRecord session = NewSession(DeviceOf(job_id));
    return Do([&](Tx& tx) {
      return OpenJobSession(tx, cookie, session, job_id, "solicited", absl::Minutes(1),
                            job_reason::kInSession, "called");
    });
  }
  std::optional<SessionWork> FindWork(const base::Bytes& cookie) {
    return Do([&](Tx& tx) { return FindSessionForUpdate(tx, cookie); });
  }
  std::optional<SessionRecord> Find(const base::Bytes& cookie) {
    std::optional<SessionWork> work = FindWork(cookie);
    return work ? std::optional(work->session) : std::nullopt;
  }
};

TEST_F(SessionRepositoryTest, IsFoundByAnyReplicaThroughItsCookie) {
  const std::int64_t job = AddJob(1);
  const JobFence fence = OpenFor(job);
  auto replica = OpenDatabase();
  auto found = replica->InTransactionReturning("t", [](Tx& tx) { return FindSessionForUpdate(tx, kCookie); });
  ASSERT_OK(found);
  ASSERT_TRUE(found->has_value());
  const SessionWork& work = **found;
  EXPECT_EQ(work.session.device_id, DeviceOf(job));
  EXPECT_EQ(work.session.remote_address, "10.0.0.2");
  EXPECT_EQ(work.session.step, "inventory");
  ASSERT_TRUE(work.session.job.has_value());
  EXPECT_EQ(work.session.job->job_id, job);
  EXPECT_EQ(work.session.job->attempt, fence.attempt);
  ASSERT_TRUE(work.job.has_value());
  EXPECT_EQ(work.job->state, "running");
  EXPECT_EQ(work.job->reason, "IN_SESSION");
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
  Run([&](Tx& tx) { return CloseSession(tx, (*FindSessionForUpdate(tx, kCookie))->session.id); });
  EXPECT_FALSE(Find(kCookie).has_value());
  EXPECT_TRUE(Find(kOther).has_value());
  Run([&](Tx& tx) { return CloseSessionsOfDevice(tx, device); });
  EXPECT_FALSE(Find(kOther).has_value());
}

TEST_F(SessionRepositoryTest, AJobThatSomebodyElseTookUpIsNotServedAnyMore) {
  const std::int64_t job = AddJob(1);
  const JobFence fence = OpenFor(job);
  ASSERT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, job, ""); }));
  const auto work = FindWork(kCookie);
  ASSERT_TRUE(work.has_value());
  EXPECT_EQ(work->session.job->attempt, fence.attempt);
  EXPECT_FALSE(work->job.has_value());
}

TEST_F(SessionRepositoryTest, AdvancingNotesTheJobOnlyUnderItsFence) {
  const std::int64_t job = AddJob(1);
  OpenFor(job);
  SessionRecord session = *Find(kCookie);
  session.step = session_step::kReadBack;
  const auto advance = [&](const std::string& reason) {
    Run([&](Tx& tx) { return AdvanceJobSession(tx, session, absl::Hours(1), reason, ""); });
  };
  advance("WRITTEN");
  EXPECT_EQ(Job(job).reason, "WRITTEN");
  EXPECT_TRUE(Value<bool>("SELECT run_at > now() + interval '50 minutes' FROM job"));
  EXPECT_EQ(Find(kCookie)->step, "read_back");
  Sql("UPDATE job SET attempt = attempt + 1");
  advance("STALE");
  EXPECT_EQ(Job(job).reason, "WRITTEN");
}

TEST_F(SessionRepositoryTest, TheKnockIsForgottenWhenNoFurtherWorkWaits) {
  const std::int64_t job = AddJob(1);
  Sql("UPDATE device SET knock_expires_at = now() + interval '1 minute'");
  OpenFor(job);
  const SessionRecord session = *Find(kCookie);
  Sql("UPDATE job SET state = 'deferred'");
  EXPECT_TRUE(Do([&](Tx& tx) { return FinishJobSession(tx, session); }));
  EXPECT_FALSE(Find(kCookie).has_value());
  EXPECT_FALSE(Value<bool>("SELECT knock_expires_at IS NULL FROM device"));
  Sql("UPDATE job SET state = 'verifying'");
  EXPECT_FALSE(Do([&](Tx& tx) { return FinishJobSession(tx, session); }));
  EXPECT_TRUE(Value<bool>("SELECT knock_expires_at IS NULL FROM device"));
}

TEST_F(SessionRepositoryTest, GoesWithItsDevice) {
  const std::int64_t device = AddDevice(1);
  Open(kCookie, NewSession(device));
  Sql("DELETE FROM device");
  EXPECT_FALSE(Find(kCookie).has_value());
}

}  // namespace
}  // namespace phonepki::db
