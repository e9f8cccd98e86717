#include "db/job_repository.h"

#include <algorithm>
#include <set>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <gmock/gmock.h>

#include "db/deployment_repository.h"
#include "db/device_repository.h"
#include "db/location_repository.h"
#include "db/session_repository.h"
#include "tests/db/db_fixture.h"

namespace phonepki::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr absl::Duration kLife = absl::Minutes(2);
constexpr absl::Duration kGap = absl::Minutes(5);

const base::Bytes kCookie(32, 1);

class JobRepositoryTest : public DbFixture {
 protected:
  // The phone calls, and the job goes on in its session.
  JobFence TakeUp(std::int64_t job_id) {
    SessionRecord session;
    session.device_id = DeviceOf(job_id);
    session.door = "default";
    session.remote_address = "10.0.0.2";
    session.step = session_step::kWrite;
    return Do([&](Tx& tx) {
      return OpenJobSession(tx, kCookie, session, job_id, "solicited", kLife, job_reason::kInSession,
                            "called");
    });
  }
  std::vector<std::string> History(std::int64_t job_id) {
    std::vector<std::string> lines;
    for (const JobEventRecord& event : Do([&](Tx& tx) { return ListJobEvents(tx, job_id); })) {
      lines.push_back(absl::StrCat(event.from_state, ">", event.to_state, ":", event.reason));
    }
    return lines;
  }
  std::vector<std::int64_t> Arm(const std::vector<KnockOrder>& orders, absl::Duration gap = kGap) {
    return Do([&](Tx& tx) { return ArmKnocks(tx, orders, kLife, gap); });
  }
  KnockOrder OrderFor(const JobFence& fence) {
    const std::int64_t device = DeviceOf(fence.job_id);
    return {fence, device, AddIssued(device, fence.job_id)};
  }
  static std::vector<std::int64_t> Ids(const std::vector<JobRecord>& jobs) {
    std::vector<std::int64_t> ids;
    for (const JobRecord& job : jobs) ids.push_back(job.id);
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  void Finish(std::int64_t job_id, const std::string& state) {
    const std::vector<JobRecord> claimed = Claim();
    const auto found =
        std::find_if(claimed.begin(), claimed.end(), [&](const auto& job) { return job.id == job_id; });
    ASSERT_NE(found, claimed.end());
    ASSERT_THAT(Release({job_id, found->attempt}, state), SizeIs(1));
  }
};

// Claims

TEST_F(JobRepositoryTest, WorkersNeverClaimTheSameJob) {
  constexpr int kJobs = 120;
  constexpr int kWorkers = 4;
  AddJobs(1, kJobs);
  absl::Mutex mutex;
  std::multiset<std::int64_t> claimed;
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, w] {
      auto database = OpenDatabase(1);
      // An empty claim may mean that others hold the last rows at this moment, so all are tried for.
      for (int round = 0; round < 200; ++round) {
        auto got = database->InTransactionReturning("claim", [&](Tx& tx) {
          return ClaimDueKnocks(tx, {absl::StrCat("w", w), 7, absl::Minutes(5), 0});
        });
        ASSERT_OK(got);
        absl::MutexLock lock(&mutex);
        for (const JobRecord& job : *got) claimed.insert(job.id);
        if (claimed.size() >= kJobs) return;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(claimed.size(), static_cast<std::size_t>(kJobs));
  EXPECT_EQ(std::set<std::int64_t>(claimed.begin(), claimed.end()).size(), claimed.size());
}

TEST_F(JobRepositoryTest, AClaimSkipsWhatAnotherTransactionHoldsInsteadOfWaiting) {
  AddJobs(1, 3);
  auto other = OpenDatabase(1);
  Run([&](Tx& tx) -> absl::Status {
    auto first = ClaimDueKnocks(tx, {"a", 2, absl::Minutes(1), 0});
    EXPECT_OK(first);
    // Not committed yet.
    auto second = other->InTransactionReturning("claim", [](Tx& mine) {
      return ClaimDueKnocks(mine, {"b", 50, absl::Minutes(1), 0});
    });
    EXPECT_OK(second);
    EXPECT_THAT(*second, SizeIs(1));
    return absl::OkStatus();
  });
}

TEST_F(JobRepositoryTest, AClaimRaisesTheAttemptAndKeepsTheStateUntilTheKnock) {
  const std::int64_t id = AddJob(1);
  const std::vector<JobRecord> claimed = Claim();
  ASSERT_THAT(claimed, SizeIs(1));
  EXPECT_EQ(claimed[0].id, id);
  EXPECT_EQ(claimed[0].attempt, 1);
  EXPECT_EQ(claimed[0].state, "scheduled");
  EXPECT_EQ(claimed[0].mac, "00:1A:E8:00:00:01");
  EXPECT_THAT(Claim(), IsEmpty());
}

TEST_F(JobRepositoryTest, AJobWhoseTimeHasNotComeIsLeftAlone) {
  const std::int64_t id = AddJob(1);
  Sql("UPDATE job SET run_at = now() + interval '1 hour'");
  EXPECT_THAT(Claim(), IsEmpty());
  Sql("UPDATE job SET run_at = now()");
  EXPECT_THAT(Ids(Claim()), ElementsAre(id));
}

TEST_F(JobRepositoryTest, AnExpiredLeaseIsClaimedAgainUnderANewAttempt) {
  const std::int64_t id = AddJob(1);
  const JobFence former = ClaimOne();
  EXPECT_THAT(Claim("other"), IsEmpty());
  AgeLease(id);
  const std::vector<JobRecord> again = Claim("other");
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_GT(again[0].attempt, former.attempt);
}

TEST_F(JobRepositoryTest, OnlyJobsToBeProbedAreClaimedForProbes) {
  const std::int64_t id = AddJobs(1, 2).at(0);
  EXPECT_THAT(Do([](Tx& tx) { return ClaimDueProbes(tx, {"p"}); }), IsEmpty());
  Sql(absl::StrCat("UPDATE job SET state = 'verifying' WHERE id = ", id));
  EXPECT_THAT(Ids(Do([](Tx& tx) { return ClaimDueProbes(tx, {"p"}); })), ElementsAre(id));
  EXPECT_THAT(Do([](Tx& tx) { return ClaimDueProbes(tx, {"p"}); }), IsEmpty());
  EXPECT_THAT(Claim(), SizeIs(1));
}

TEST_F(JobRepositoryTest, AFullLocationDoesNotStarveAnother) {
  const std::int64_t tight = AddLocation("Tight", 2);
  const std::int64_t wide = AddLocation("Wide");
  AddJobs(1, 10, tight);
  AddJobs(100, 3, wide);
  const std::vector<JobRecord> claimed = Claim("w", 50);
  EXPECT_EQ(
      std::count_if(claimed.begin(), claimed.end(), [&](const auto& j) { return j.location_id == tight; }),
      2);
  EXPECT_EQ(
      std::count_if(claimed.begin(), claimed.end(), [&](const auto& j) { return j.location_id == wide; }), 3);
  EXPECT_THAT(Claim("w", 50), IsEmpty()) << "both places are taken by jobs in hand";
}

TEST_F(JobRepositoryTest, AHugeLocationDoesNotStarveAnotherBehindIt) {
  const std::int64_t huge = AddLocation("Huge");
  const std::int64_t small = AddLocation("Small");
  AddJobs(1, 20, huge);
  AddJobs(100, 1, small);
  const std::vector<JobRecord> first = Claim("w", 5);
  EXPECT_EQ(first.at(0).location_id, huge);
  EXPECT_EQ(first.back().location_id, huge);
  const std::vector<JobRecord> second = Claim("w", 5, absl::Minutes(1), first.back().location_id);
  EXPECT_EQ(second.at(0).location_id, small);
  EXPECT_EQ(second.back().location_id, huge);
}

TEST_F(JobRepositoryTest, APlaceIsTakenWhileThePhoneIsWaitedForAndFreeAfterwards) {
  const std::int64_t tight = AddLocation("Tight", 1);
  AddJobs(1, 3, tight);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Arm({OrderFor(fence)}), SizeIs(1));
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_THAT(Release(fence, "verifying"), SizeIs(1));
  EXPECT_THAT(Claim(), SizeIs(1));
}

TEST_F(JobRepositoryTest, WorkersTogetherKeepTheLimitOfALocation) {
  AddJobs(1, 30, AddLocation("Tight", 4));
  std::atomic<int> claimed{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&] {
      auto database = OpenDatabase(1);
      for (int round = 0; round < 10; ++round) {
        auto got = database->InTransactionReturning("claim", [](Tx& tx) {
          return ClaimDueKnocks(tx, {"w", 3, absl::Minutes(5), 0});
        });
        ASSERT_OK(got);
        claimed += static_cast<int>(got->size());
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(claimed, 4);
}

// Fence

TEST_F(JobRepositoryTest, AFormerHolderUpdatesNothing) {
  const std::int64_t id = AddJob(1);
  const JobFence former = ClaimOne();
  const KnockOrder order = OrderFor(former);
  AgeLease(id);
  const JobFence current = ClaimOne();
  ASSERT_NE(current.attempt, former.attempt);

  EXPECT_THAT(Release(former, "failed"), IsEmpty());
  EXPECT_THAT(Arm({order}), IsEmpty());
  Run([&](Tx& tx) { return SetJobCertificate(tx, former, order.certificate_id); });
  Run([&](Tx& tx) { return KnockFailed(tx, {former}, {kGap}, {"nobody"}, kGap); });
  EXPECT_THAT(Do([&](Tx& tx) { return HeldJobs(tx, {former}); }), IsEmpty());

  const JobRecord job = Job(id);
  EXPECT_EQ(job.state, "scheduled");
  EXPECT_EQ(job.reason, "");
  EXPECT_EQ(job.attempt, current.attempt);
  EXPECT_FALSE(job.certificate_id.has_value());
  EXPECT_THAT(Release(current, "failed"), ElementsAre(id));
}

TEST_F(JobRepositoryTest, AFinishedJobIsNotFinishedTwice) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Release(fence, "succeeded"), ElementsAre(id));
  EXPECT_THAT(Release(fence, "failed"), IsEmpty());
  EXPECT_EQ(Job(id).state, "succeeded");
}

TEST_F(JobRepositoryTest, ASessionTakesTheJobFromItsFormerHolder) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Arm({OrderFor(fence)}), ElementsAre(id));
  const std::int64_t device = DeviceOf(id);
  ASSERT_TRUE(Do([&](Tx& tx) { return FindJobForSession(tx, device); }).has_value());
  const JobFence session = TakeUp(id);
  EXPECT_GT(session.attempt, fence.attempt);
  Run([&](Tx& tx) { return KnockFailed(tx, {fence}, {kGap}, {"too late"}, kGap); });
  EXPECT_EQ(Job(id).state, "running");
  EXPECT_THAT(Release(fence, "failed"), IsEmpty());
  EXPECT_THAT(Release(session, "verifying"), ElementsAre(id));
}

TEST_F(JobRepositoryTest, AJobInAWorkersHandsIsNotServedInASession) {
  const std::int64_t id = AddJob(1);
  const std::int64_t device = DeviceOf(id);
  ClaimOne();
  EXPECT_FALSE(Do([&](Tx& tx) { return FindJobForSession(tx, device); }).has_value());
  AgeLease(id);
  EXPECT_TRUE(Do([&](Tx& tx) { return FindJobForSession(tx, device); }).has_value());
}

// Slots

TEST_F(JobRepositoryTest, ASlotHasOneUnfinishedJob) {
  const std::int64_t id = AddJob(1);
  const std::int64_t deployment = AddDeployment();
  const std::string second =
      absl::StrCat("INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline) VALUES (",
                   deployment, ", ", DeviceOf(id), ", 1, 'wbm', now(), now() + interval '1 day')");
  const absl::Status refused =
      database().InTransaction("t", [&](Tx& tx) { return tx.ExecuteScript(second).status(); });
  EXPECT_REASON(refused, "UNIQUE:job_unfinished_slot_idx");
  Finish(id, "failed");
  EXPECT_OK(database().InTransaction("t", [&](Tx& tx) { return tx.ExecuteScript(second).status(); }));
}

TEST_F(JobRepositoryTest, ANewDeploymentSupersedesTheUnfinishedJobOfTheSlot) {
  const std::vector<std::int64_t> former = AddJobs(1, 2);
  Finish(former[0], "succeeded");
  const std::int64_t deployment = AddDeployment();
  EXPECT_EQ(Do([&](Tx& tx) -> absl::StatusOr<std::int64_t> {
              EXPECT_OK(LockPlacementExclusive(tx));
              return StartDeployment(tx, deployment);
            }),
            2);
  EXPECT_EQ(Job(former[0]).state, "succeeded");
  EXPECT_EQ(Job(former[1]).state, "superseded");
  EXPECT_TRUE(Job(former[1]).finished_at.has_value());
}

// Knocks

TEST_F(JobRepositoryTest, AKnockTakesTheContactGapOfThePhone) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  const KnockOrder order = OrderFor(fence);
  ASSERT_THAT(Arm({order}), ElementsAre(id));
  const JobRecord job = Job(id);
  EXPECT_EQ(job.state, "waiting");
  EXPECT_EQ(job.reason, "KNOCKED");
  EXPECT_EQ(job.certificate_id, order.certificate_id);
  EXPECT_EQ(Value<std::string>("SELECT host(knock_address) FROM device"), "10.0.0.2");
  EXPECT_TRUE(Value<bool>("SELECT next_knock_at > now() + interval '4 minutes' FROM device"));
}

TEST_F(JobRepositoryTest, WithinItsContactGapAPhoneIsNotKnockedAtAgain) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  const KnockOrder order = OrderFor(fence);
  ASSERT_THAT(Arm({order}), SizeIs(1));
  ASSERT_THAT(Release(fence, "deferred"), SizeIs(1));
  const JobFence again = ClaimOne();
  EXPECT_THAT(Arm({{again, order.device_id, order.certificate_id}}), IsEmpty());
  EXPECT_EQ(Job(id).state, "deferred");
  Sql("UPDATE device SET next_knock_at = now()");
  EXPECT_THAT(Arm({{again, order.device_id, order.certificate_id}}), ElementsAre(id));
}

TEST_F(JobRepositoryTest, TwoWorkersKnockAtAPhoneOnce) {
  AddJob(1);
  const JobFence fence = ClaimOne();
  const KnockOrder order = OrderFor(fence);
  std::atomic<int> armed{0};
  std::vector<std::thread> workers;
  for (int w = 0; w < 4; ++w) {
    workers.emplace_back([&] {
      auto database = OpenDatabase(1);
      auto got = database->InTransactionReturning(
          "arm", [&](Tx& tx) { return ArmKnocks(tx, {order}, kLife, kGap); });
      ASSERT_OK(got);
      armed += static_cast<int>(got->size());
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(armed, 1);
}

TEST_F(JobRepositoryTest, AKnockThatReachedNobodyDefersTheJobAndForgetsTheCaller) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Arm({OrderFor(fence)}), SizeIs(1));
  Run([&](Tx& tx) { return KnockFailed(tx, {fence}, {absl::Minutes(10)}, {"refused"}, absl::Minutes(1)); });
  const JobRecord job = Job(id);
  EXPECT_EQ(job.state, "deferred");
  EXPECT_EQ(job.reason, "PHONE_OFFLINE");
  EXPECT_EQ(job.reason_text, "refused");
  EXPECT_EQ(job.unanswered, 1);
  EXPECT_EQ(job.failures, 0) << "a phone that is off is no failure";
  EXPECT_TRUE(Value<bool>(
      "SELECT knock_expires_at IS NULL AND next_knock_at < now() + interval '2 minutes' FROM device"));
}

TEST_F(JobRepositoryTest, APollIsAKnockFromWhereThePhoneCalledLast) {
  const std::int64_t id = AddJob(1);
  const std::string mac = "00:1A:E8:00:00:01", here = "10.0.0.2", elsewhere = "10.9.9.9";
  const auto poll = [&](const std::string& address) {
    return Do([&](Tx& tx) { return AnswerPoll(tx, mac, address, kLife, kGap); });
  };
  const auto device = [&] { return Do([&](Tx& tx) { return GetDeviceByMac(tx, mac); }); };
  EXPECT_FALSE(poll(here)) << "it never called";
  Sql("UPDATE device SET state = 'registered'");
  EXPECT_TRUE(poll(elsewhere));
  EXPECT_FALSE(device().knock_valid);
  EXPECT_EQ(Job(id).state, "scheduled");

  // The worker cannot reach it, and notices after the phone has asked.
  const JobFence fence = ClaimOne();
  EXPECT_FALSE(poll(here)) << "a worker holds the job";
  ASSERT_THAT(Arm({OrderFor(fence)}), SizeIs(1));
  Sql("UPDATE device SET knock_expires_at = NULL");
  EXPECT_TRUE(poll(here));
  Run([&](Tx& tx) { return KnockFailed(tx, {fence}, {absl::Minutes(10)}, {"refused"}, absl::Minutes(1)); });
  EXPECT_TRUE(device().knock_valid);
  EXPECT_EQ(device().knock_address, here);
  EXPECT_EQ(Job(id).state, "waiting");
  EXPECT_THAT(Claim(), IsEmpty()) << "it is waited for";

  const int attempt = Job(id).attempt;
  EXPECT_TRUE(poll(here));
  EXPECT_EQ(Job(id).attempt, attempt) << "one knock is enough";

  Sql("UPDATE device SET security_state = 'desynchronised'");
  EXPECT_FALSE(poll(here));
  Sql("UPDATE device SET security_state = 'default'");
  Sql("UPDATE job SET state = 'deferred', reason = 'PHONE_OFFLINE', run_at = now() + interval '1 hour'");
  EXPECT_TRUE(poll(here));
  Sql("UPDATE job SET state = 'deferred', reason = 'PHONE_BUSY', run_at = now() + interval '1 hour'");
  EXPECT_FALSE(poll(here));
  Sql("UPDATE job SET state = 'cancelled', finished_at = now()");
  EXPECT_FALSE(poll(here));
}

TEST_F(JobRepositoryTest, APollHeedsTheLimitOfTheLocation) {
  const std::int64_t place = AddLocation("Place", 1);
  AddJobs(1, 2, place);
  Sql("UPDATE device SET state = 'registered'");
  std::vector<bool> answers;
  for (const auto& row : Sql("SELECT mac, host(ip_address) FROM device ORDER BY mac")) {
    const auto mac = row[0].as<std::string>(), address = row[1].as<std::string>();
    answers.push_back(Do([&](Tx& tx) { return AnswerPoll(tx, mac, address, kLife, kGap); }));
  }
  EXPECT_THAT(answers, ElementsAre(true, false));
}

TEST_F(JobRepositoryTest, APhoneThatShowsItselfMakesItsDeferredJobDue) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Release(fence, "deferred", "PHONE_OFFLINE", absl::Hours(3)), SizeIs(1));
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_EQ(Do([&](Tx& tx) { return HastenJobs(tx, DeviceOf(id)); }), 1);
  EXPECT_THAT(Ids(Claim()), ElementsAre(id));
}

TEST_F(JobRepositoryTest, ReleasesCountFailuresAndUnansweredKnocks) {
  const std::int64_t id = AddJob(1);
  const auto release = [&](int failures, JobRelease::Unanswered unanswered) {
    const JobFence fence = ClaimOne();
    EXPECT_THAT(
        Do([&](Tx& tx) {
          return ReleaseJobs(tx, {{fence, "deferred", "X", "", absl::ZeroDuration(), failures, unanswered}});
        }),
        SizeIs(1));
  };
  release(1, JobRelease::Unanswered::kRaise);
  release(2, JobRelease::Unanswered::kRaise);
  EXPECT_EQ(Job(id).failures, 3);
  EXPECT_EQ(Job(id).unanswered, 2);
  release(0, JobRelease::Unanswered::kKeep);
  EXPECT_EQ(Job(id).unanswered, 2);
  release(0, JobRelease::Unanswered::kReset);
  EXPECT_EQ(Job(id).unanswered, 0);
}

// History

TEST_F(JobRepositoryTest, EveryChangeOfStateOrReasonIsInTheHistory) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();  // no change of state: no row
  ASSERT_THAT(Arm({OrderFor(fence)}), SizeIs(1));
  const JobFence session = TakeUp(id);
  Run([&](Tx& tx) -> absl::Status {
    auto found = FindSessionForUpdate(tx, kCookie);
    if (!found.ok()) return found.status();
    return AdvanceJobSession(tx, (*found)->session, kLife, "WRITTEN", "");
  });
  ASSERT_THAT(Release(session, "verifying", "READ_BACK"), SizeIs(1));
  Sql("UPDATE job SET state = 'succeeded', reason = 'VERIFIED', finished_at = now()");  // nobody can go round
                                                                                        // it
  EXPECT_THAT(History(id), ElementsAre(">scheduled:", "scheduled>waiting:KNOCKED",
                                       "waiting>running:IN_SESSION", "running>running:WRITTEN",
                                       "running>verifying:READ_BACK", "verifying>succeeded:VERIFIED"));
}

TEST_F(JobRepositoryTest, ARolledBackChangeLeavesNoHistory) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  EXPECT_CODE(database().InTransaction("t",
                                       [&](Tx& tx) -> absl::Status {
                                         EXPECT_OK(ReleaseJobs(tx, {{fence, "failed", "X", ""}}));
                                         return absl::InternalError("crash");
                                       }),
              kInternal);
  EXPECT_THAT(History(id), SizeIs(1));
}

TEST_F(JobRepositoryTest, AWatcherMissesNoEventOfATransactionThatCommitsLate) {
  const std::string start = Do([](Tx& tx) { return ReadJobEvents(tx, std::nullopt, "", 100); }).cursor;
  const std::vector<std::int64_t> jobs = AddJobs(1, 2);
  const std::vector<JobRecord> claimed = Claim();
  ASSERT_THAT(claimed, SizeIs(2));
  const std::string before = Do([&](Tx& tx) { return ReadJobEvents(tx, std::nullopt, start, 100); }).cursor;
  auto other = OpenDatabase(1);
  const auto read = [&](const std::string& cursor) {
    return Do([&](Tx& tx) { return ReadJobEvents(tx, std::nullopt, cursor, 100); });
  };
  std::string cursor = before;
  EXPECT_OK(other->InTransaction("late", [&](Tx& tx) -> absl::Status {
    EXPECT_OK(ReleaseJobs(tx, {{{claimed[0].id, claimed[0].attempt}, "failed", "LATE", ""}}));
    EXPECT_THAT(Release({claimed[1].id, claimed[1].attempt}, "failed", "EARLY"), SizeIs(1));
    const JobEventPage page = read(cursor);
    EXPECT_THAT(page.events, IsEmpty()) << "an older transaction is not settled yet";
    cursor = page.cursor;
    return absl::OkStatus();
  }));
  std::vector<std::string> reasons;
  for (const JobEventRecord& event : read(cursor).events) reasons.push_back(event.reason);
  EXPECT_THAT(reasons, UnorderedElementsAre("LATE", "EARLY"));
}

TEST_F(JobRepositoryTest, AMadeUpCursorIsRefused) {
  for (const char* cursor : {"x", "1", "1:2:3", ":", "-1:0", "1:x"}) {
    EXPECT_CODE(database().InTransactionReturning(
                    "t", [&](Tx& tx) { return ReadJobEvents(tx, std::nullopt, cursor, 10); }),
                kInvalidArgument)
        << cursor;
  }
}

// Deadline, cancel, retry

TEST_F(JobRepositoryTest, AJobPastItsDeadlineTimesOutAndSaysWhatItLastWaitedFor) {
  const std::vector<std::int64_t> jobs = AddJobs(1, 2);
  const JobFence fence = ClaimOne();
  ASSERT_THAT(Release(fence, "deferred", "PHONE_OFFLINE", absl::Hours(1)), SizeIs(1));
  Sql(absl::StrCat("UPDATE job SET deadline = now() WHERE id = ", fence.job_id));
  EXPECT_EQ(Do([](Tx& tx) { return TimeOutJobs(tx, 100); }), 1);
  const JobRecord job = Job(fence.job_id);
  EXPECT_EQ(job.state, "timed_out");
  EXPECT_EQ(job.reason, "DEADLINE");
  EXPECT_THAT(job.reason_text, ::testing::HasSubstr("PHONE_OFFLINE"));
  EXPECT_TRUE(job.finished_at.has_value());
  EXPECT_EQ(Do([](Tx& tx) { return TimeOutJobs(tx, 100); }), 0);
}

TEST_F(JobRepositoryTest, ATimeOutTakesTheJobFromItsHolder) {
  AddJob(1);
  const JobFence fence = ClaimOne();
  Sql("UPDATE job SET deadline = now()");
  ASSERT_EQ(Do([](Tx& tx) { return TimeOutJobs(tx, 100); }), 1);
  EXPECT_THAT(Release(fence, "succeeded"), IsEmpty());
  EXPECT_EQ(Job(fence.job_id).state, "timed_out");
}

TEST_F(JobRepositoryTest, ACancelledJobIsFinalForItsHolder) {
  const std::int64_t id = AddJob(1);
  const JobFence fence = ClaimOne();
  EXPECT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, id, "by hand"); }));
  EXPECT_FALSE(Do([&](Tx& tx) { return CancelJob(tx, id, "again"); }));
  EXPECT_THAT(Release(fence, "succeeded"), IsEmpty());
  EXPECT_EQ(Job(id).state, "cancelled");
  EXPECT_EQ(Job(id).reason_text, "by hand");
}

TEST_F(JobRepositoryTest, CancellingADeploymentLeavesItsFinishedJobs) {
  const std::vector<std::int64_t> jobs = AddJobs(1, 3);
  Finish(jobs[0], "succeeded");
  EXPECT_EQ(Do([&](Tx& tx) { return CancelJobsOfDeployment(tx, Job(jobs[0]).deployment_id, ""); }), 2);
  EXPECT_EQ(Job(jobs[0]).state, "succeeded");
}

TEST_F(JobRepositoryTest, ARetriedJobStartsAfreshWithANewDeadline) {
  const std::int64_t id = AddJob(1);
  Finish(id, "failed");
  Sql("UPDATE job SET failures = 5, unanswered = 2, deadline = now() - interval '1 day'");
  EXPECT_TRUE(Do([&](Tx& tx) { return RetryJob(tx, id); }));
  const JobRecord job = Job(id);
  EXPECT_EQ(job.state, "scheduled");
  EXPECT_EQ(job.failures, 0);
  EXPECT_EQ(job.unanswered, 0);
  EXPECT_FALSE(job.finished_at.has_value());
  EXPECT_TRUE(Value<bool>("SELECT deadline > now() + interval '23 hours' FROM job"));
  EXPECT_THAT(Ids(Claim()), ElementsAre(id));
}

TEST_F(JobRepositoryTest, OnlyAnUnsuccessfulEndCanBeRetried) {
  const std::int64_t id = AddJob(1);
  EXPECT_FALSE(Do([&](Tx& tx) { return RetryJob(tx, id); }));
  Finish(id, "succeeded");
  EXPECT_FALSE(Do([&](Tx& tx) { return RetryJob(tx, id); }));
}

TEST_F(JobRepositoryTest, ARetryGivesWayToALaterJobOfTheSlot) {
  const std::int64_t id = AddJob(1);
  Finish(id, "failed");
  Sql(absl::StrCat("INSERT INTO job (deployment_id, device_id, location_id, slot, run_at, deadline) VALUES (",
                   AddDeployment(), ", ", DeviceOf(id), ", 1, 'wbm', now(), now() + interval '1 day')"));
  EXPECT_FALSE(Do([&](Tx& tx) { return RetryJob(tx, id); }));
  EXPECT_EQ(Job(id).state, "failed");
}

TEST_F(JobRepositoryTest, RetryingADeploymentLeavesWhatAPersonCancelled) {
  const std::vector<std::int64_t> jobs = AddJobs(1, 3);
  const std::vector<JobRecord> claimed = Claim();
  ASSERT_THAT(claimed, SizeIs(3));
  Sql(absl::StrCat(
      "UPDATE job SET state = 'failed', finished_at = now(), worker = NULL, lease_expires_at = NULL"
      " WHERE id = ",
      jobs[0]));
  ASSERT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, jobs[1], ""); }));
  EXPECT_EQ(Do([&](Tx& tx) { return RetryFailedJobs(tx, Job(jobs[0]).deployment_id); }), 1);
  EXPECT_EQ(Job(jobs[0]).state, "scheduled");
  EXPECT_EQ(Job(jobs[1]).state, "cancelled");
}

TEST_F(JobRepositoryTest, ListsByStateReasonAndOwner) {
  const std::vector<std::int64_t> jobs = AddJobs(1, 4);
  const std::int64_t elsewhere = AddJob(50);
  ASSERT_TRUE(Do([&](Tx& tx) { return CancelJob(tx, jobs[2], ""); }));
  const auto list = [&](const JobFilter& filter, std::int64_t before = INT64_MAX, int limit = 100) {
    std::vector<std::int64_t> ids;
    for (const JobRecord& job : Do([&](Tx& tx) { return ListJobs(tx, filter, before, limit); }))
      ids.push_back(job.id);
    return ids;
  };
  EXPECT_THAT(list({}), ElementsAre(elsewhere, jobs[3], jobs[2], jobs[1], jobs[0]));
  EXPECT_THAT(list({}, jobs[3], 2), ElementsAre(jobs[2], jobs[1]));
  EXPECT_THAT(list({.states = {"cancelled"}}), ElementsAre(jobs[2]));
  EXPECT_THAT(list({.reason = "CANCELLED_BY_OPERATOR"}), ElementsAre(jobs[2]));
  EXPECT_THAT(list({.device_id = DeviceOf(elsewhere)}), ElementsAre(elsewhere));
  EXPECT_THAT(list({.deployment_id = Job(elsewhere).deployment_id}), ElementsAre(elsewhere));
}

}  // namespace
}  // namespace phonepki::db
