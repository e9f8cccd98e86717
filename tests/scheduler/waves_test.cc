// Deployments in waves: who comes when, what is waited for, what halts them.
#include <map>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/location_repository.h"
#include "db/wave_repository.h"
#include "scheduler/deployments.h"
#include "tests/db/db_fixture.h"

namespace phonepki::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WavesTest : public db::DbFixture {
 protected:
  // Phones first to first + count - 1, in an order of registration that is not that of their MACs.
  void AddPhones(int first, int count, std::int64_t location = 1) {
    for (int n = first + count - 1; n >= first; --n) ids_[n] = AddDevice(n, location);
  }
  std::int64_t Deploy(int wave_size, int limit = 10, std::int64_t location = 1) {
    const auto id = Value<std::int64_t>(
        absl::StrCat("INSERT INTO deployment (location_id, slot, connector_id, job_deadline, wave_size, "
                     "wave_failure_limit_percent) VALUES (",
                     location, ", 'wbm', ", connector_id(), ", interval '1 day', ", wave_size, ", ", limit,
                     ") RETURNING id"));
    Activate(id);
    return id;
  }
  // ActivateDeployment without the connector's parts.
  void Activate(std::int64_t id) {
    Run([&](db::Tx& tx) -> absl::Status {
      auto former = db::FindDeploymentInForce(tx, Deployment(id).location_id, "wbm");
      EXPECT_OK(former);
      if (*former) {
        EXPECT_OK(db::MarkDeploymentSuperseded(tx, **former));
      }
      return db::SetDeploymentActive(tx, id, true);
    });
  }
  db::DeploymentRecord Deployment(std::int64_t id) {
    return Do([&](db::Tx& tx) { return db::GetDeployments(tx, {id}); }).at(0);
  }
  void Tick() { EXPECT_OK(clockwork_.RunOnce()); }
  // The phones with an unfinished job of the deployment, by number.
  std::vector<int> Open(std::int64_t id) { return Numbers(id, "finished_at IS NULL"); }
  std::vector<int> Numbers(std::int64_t id, const std::string& condition) {
    std::vector<int> numbers;
    for (const auto& row : Sql(absl::StrCat("SELECT device_id FROM job WHERE deployment_id = ", id, " AND ",
                                            condition, " ORDER BY id"))) {
      for (const auto& [number, device] : ids_) {
        if (device == row[0].as<std::int64_t>()) numbers.push_back(number);
      }
    }
    return numbers;
  }
  void Set(std::int64_t id, std::vector<int> phones, const std::string& what) {
    std::vector<std::int64_t> devices;
    for (int phone : phones) devices.push_back(ids_.at(phone));
    Sql(absl::StrCat("UPDATE job SET ", what, " WHERE deployment_id = ", id, " AND device_id IN (",
                     absl::StrJoin(devices, ","), ") AND finished_at IS NULL"));
  }
  void Succeed(std::int64_t id, std::vector<int> phones) {
    Set(id, std::move(phones), "state = 'succeeded', reason = 'VERIFIED', finished_at = now()");
  }
  void Fail(std::int64_t id, std::vector<int> phones) {
    Set(id, std::move(phones), "state = 'failed', reason = 'ITEM_REJECTED', finished_at = now()");
  }
  void SwitchOff(std::int64_t id, std::vector<int> phones) {
    Set(id, std::move(phones), "state = 'deferred', reason = 'PHONE_OFFLINE', unanswered = 1");
  }
  void SucceedAll(std::int64_t id) { Succeed(id, Open(id)); }
  void Move(int phone, std::int64_t location) {
    Run([&](db::Tx& tx) -> absl::Status {
      EXPECT_OK(db::LockPlacementShared(tx));
      EXPECT_OK(db::MoveDevices(tx, {ids_.at(phone)}, {location}));
      return db::CreateJobsForDevices(tx, {ids_.at(phone)}).status();
    });
  }
  void Join(int phone, std::int64_t location = 1) {
    AddPhones(phone, 1, location);
    Run([&](db::Tx& tx) { return db::CreateJobsForDevices(tx, {ids_.at(phone)}).status(); });
  }

  std::map<int, std::int64_t> ids_;
  Clockwork clockwork_{database(), absl::Seconds(1), [] {}};
};

TEST_F(WavesTest, PhonesComeInTheOrderOfTheirMacsAndAPlanTellsHowManyWaves) {
  AddPhones(1, 5);
  const std::int64_t id = Deploy(2);
  EXPECT_EQ(Deployment(id).progress.to_come, 5);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2));
  EXPECT_EQ(Deployment(id).waves.started, 1);
  EXPECT_EQ(Deployment(id).progress.to_come, 3);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2));
  Succeed(id, {2});
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1)) << "the wave is not over";
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(3, 4));
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(5));
  EXPECT_FALSE(Deployment(id).waves.pending);
  SucceedAll(id);
  Tick();
  EXPECT_EQ(Deployment(id).waves.started, 3);
  EXPECT_EQ(Deployment(id).progress.succeeded, 5);
}

TEST_F(WavesTest, AWaveThatTakesExactlyTheRestIsTheLast) {
  AddPhones(1, 4);
  const std::int64_t id = Deploy(2);
  Tick();
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(3, 4));
  EXPECT_FALSE(Deployment(id).waves.pending);
}

TEST_F(WavesTest, APlaceWithoutPhonesHasNoWaveAndTakesLateJoinersAtOnce) {
  const std::int64_t id = Deploy(2);
  Tick();
  EXPECT_EQ(Deployment(id).waves.started, 0);
  EXPECT_FALSE(Deployment(id).waves.pending);
  Join(1);
  EXPECT_THAT(Open(id), ElementsAre(1));
}

TEST_F(WavesTest, PhonesThatAreOffAreNotWaitedForAndOthersAre) {
  AddPhones(1, 3);
  const std::int64_t id = Deploy(1);
  Tick();
  for (const char* held :
       {"state = 'waiting', reason = 'KNOCKED', unanswered = 0", "state = 'running', reason = 'IN_SESSION'",
        "state = 'deferred', reason = 'PHONE_BUSY'", "state = 'deferred', reason = 'SESSION_LOST'",
        "state = 'deferred', reason = 'CONTACT_GAP'", "state = 'verifying', reason = 'READ_BACK'",
        "state = 'verifying', reason = 'AWAITING_PIN'",
        "state = 'verifying', reason = 'PROBE_UNREACHABLE'"}) {
    Set(id, {1}, held);
    Tick();
    EXPECT_THAT(Open(id), ElementsAre(1)) << held;
  }
  SwitchOff(id, {1});
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2));
  // Knocked at again in vain: still off.
  Set(id, {2}, "state = 'waiting', reason = 'KNOCKED', unanswered = 3");
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2, 3));
  EXPECT_FALSE(Deployment(id).halt.at.has_value()) << "a phone that is off is no failure";
}

TEST_F(WavesTest, APhoneOfAnEarlierWaveThatComesBackHoldsNothingUp) {
  AddPhones(1, 3);
  const std::int64_t id = Deploy(1);
  Tick();
  SwitchOff(id, {1});
  Tick();
  Set(id, {1}, "state = 'verifying', reason = 'AWAITING_PIN'");
  Succeed(id, {2});
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 3));
}

TEST_F(WavesTest, AnAwaitedPinHoldsTheWaveHoweverLong) {
  AddPhones(1, 2);
  const std::int64_t id = Deploy(1);
  Tick();
  Set(id, {1}, "state = 'verifying', reason = 'AWAITING_PIN'");
  Sql("UPDATE job_event SET at = now() - interval '3 days'");
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1));
}

TEST_F(WavesTest, APhoneThatFellSilentWithItsCertificateHoldsTheWaveForAWhileAndCountsAsAFailure) {
  AddPhones(1, 4);
  const std::int64_t id = Deploy(2, 40);
  Tick();
  Succeed(id, {1});
  Set(id, {2}, "state = 'verifying', reason = 'PROBE_UNREACHABLE'");
  Tick();
  EXPECT_FALSE(Deployment(id).halt.at.has_value());
  Sql("UPDATE job_event SET at = now() - interval '11 minutes'");
  Tick();
  EXPECT_TRUE(Deployment(id).halt.at.has_value());
  EXPECT_THAT(Open(id), ElementsAre(2));
}

TEST_F(WavesTest, MoreFailuresThanTheLimitHaltAndNoFewer) {
  AddPhones(1, 30);
  const std::int64_t id = Deploy(10, 20);
  Tick();
  Fail(id, {1, 2});
  SucceedAll(id);
  Tick();
  EXPECT_EQ(Open(id).size(), 10u) << "20 % of 10 are two";
  Set(id, {11}, "state = 'timed_out', reason = 'DEADLINE', finished_at = now()");
  Fail(id, {12, 13});
  SucceedAll(id);
  Tick();
  Tick();
  EXPECT_THAT(Open(id), IsEmpty());
  const db::DeploymentRecord halted = Deployment(id);
  ASSERT_TRUE(halted.halt.at.has_value());
  EXPECT_EQ(halted.halt.reason, "WAVE_FAILURE_LIMIT");
  EXPECT_THAT(halted.halt.text, HasSubstr("wave 2: of 10 phones that were reached, 3 failed"));
  EXPECT_EQ(halted.progress.to_come, 10);
  EXPECT_EQ(Value<int>("SELECT count(*)::int FROM audit_log WHERE action = 'deployment.halt'"), 1);

  EXPECT_EQ(Do([&](db::Tx& tx) { return ResumeDeployment(tx, id, false); }), 0);
  Tick();
  EXPECT_EQ(Open(id).size(), 10u);
  EXPECT_EQ(Deployment(id).waves.started, 3);
  const absl::Status again =
      database().InTransaction("t", [&](db::Tx& tx) { return ResumeDeployment(tx, id, false).status(); });
  EXPECT_REASON(again, "DEPLOYMENT_NOT_HALTED");
}

TEST_F(WavesTest, TheShareIsOfThePhonesThatWereReached) {
  AddPhones(1, 20);
  const std::int64_t id = Deploy(10);
  Tick();
  Fail(id, {1});
  SwitchOff(id, {2, 3, 4, 5, 6, 7, 8, 9, 10});
  Tick();
  EXPECT_TRUE(Deployment(id).halt.at.has_value()) << "nothing is known of the others";
}

TEST_F(WavesTest, AfterARetryTheWaveIsJudgedAnew) {
  AddPhones(1, 4);
  const std::int64_t id = Deploy(2);
  Tick();
  Fail(id, {1, 2});
  Tick();
  ASSERT_TRUE(Deployment(id).halt.at.has_value());
  EXPECT_EQ(Do([&](db::Tx& tx) { return ResumeDeployment(tx, id, true); }), 2);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2)) << "they hold the wave";
  Fail(id, {1});
  Succeed(id, {2});
  Tick();
  ASSERT_TRUE(Deployment(id).halt.at.has_value());
  EXPECT_EQ(Do([&](db::Tx& tx) { return ResumeDeployment(tx, id, true); }), 1);
  Succeed(id, {1});
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(3, 4));
}

TEST_F(WavesTest, OfManyReplicasOneStartsAWave) {
  AddPhones(1, 40);
  const std::int64_t id = Deploy(2);
  for (int wave = 1; wave <= 10; ++wave) {
    std::vector<std::thread> replicas;
    for (int r = 0; r < 4; ++r) {
      replicas.emplace_back([&] {
        auto own = OpenDatabase(2);
        EXPECT_OK(Clockwork(*own, absl::Seconds(1), [] {}).RunOnce());
      });
    }
    for (std::thread& replica : replicas) replica.join();
    ASSERT_EQ(Deployment(id).waves.started, wave);
    ASSERT_THAT(Open(id), ElementsAre(2 * wave - 1, 2 * wave));
    SucceedAll(id);
  }
}

TEST_F(WavesTest, AReplicaThatSawTheWaveEndBeforeAnotherOneStartedTheNextStartsNone) {
  AddPhones(1, 6);
  const std::int64_t id = Deploy(2);
  Tick();
  SucceedAll(id);
  Run([&](db::Tx& tx) -> absl::Status {
    auto ended = db::ListEndedWaves(tx, 10);
    EXPECT_OK(ended);
    EXPECT_THAT(*ended, ElementsAre(id));
    auto own = OpenDatabase(2);
    EXPECT_OK(Clockwork(*own, absl::Seconds(1), [] {}).RunOnce());
    auto claimed = db::ClaimWaves(tx, *ended);
    EXPECT_OK(claimed);
    auto outcome = db::GetWaveOutcome(tx, id);
    EXPECT_OK(outcome);
    EXPECT_EQ(outcome->holding, 2);
    return absl::OkStatus();
  });
}

TEST_F(WavesTest, LateJoinersComeWithTheNextWaveAndAtOnceAfterTheLast) {
  AddPhones(11, 4);
  const std::int64_t id = Deploy(2);
  Tick();
  Join(5);
  Join(3);
  Join(20);
  EXPECT_THAT(Open(id), ElementsAre(11, 12));
  EXPECT_EQ(Deployment(id).progress.to_come, 5);
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(3, 5)) << "their turn was over; job ids go by MAC";
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(13, 14));
  Join(4);
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(4, 20));
  Join(1);
  EXPECT_THAT(Open(id), ElementsAre(4, 20, 1));
}

TEST_F(WavesTest, PhonesThatLeaveTheLocationLoseTheirTurn) {
  AddPhones(1, 4);
  const std::int64_t elsewhere = AddLocation("Elsewhere");
  const std::int64_t id = Deploy(2);
  Tick();
  Join(0);
  Move(0, elsewhere);
  Move(3, elsewhere);
  EXPECT_EQ(Deployment(id).progress.to_come, 1);
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(4));
  EXPECT_FALSE(Deployment(id).waves.pending);
  Move(0, 1);
  EXPECT_THAT(Open(id), ElementsAre(4, 0));
}

TEST_F(WavesTest, WhenAllThatWereToComeHaveLeftThereIsNoEmptyWave) {
  AddPhones(1, 3);
  const std::int64_t elsewhere = AddLocation("Elsewhere");
  const std::int64_t id = Deploy(2);
  Tick();
  Move(3, elsewhere);
  SucceedAll(id);
  Tick();
  EXPECT_EQ(Deployment(id).waves.started, 1);
  EXPECT_FALSE(Deployment(id).waves.pending);
}

TEST_F(WavesTest, AMoveIntoALocationWithWavesEndsTheFormerJobAndWaitsForItsTurn) {
  const std::int64_t elsewhere = AddLocation("Elsewhere");
  AddPhones(1, 2);
  AddPhones(3, 2, elsewhere);
  const std::int64_t here = Deploy(1);
  const std::int64_t there = Deploy(0, 10, elsewhere);
  Tick();
  EXPECT_THAT(Open(there), ::testing::UnorderedElementsAre(3, 4));
  Move(4, 1);
  EXPECT_THAT(Open(there), ElementsAre(3));
  EXPECT_THAT(Numbers(there, "state = 'superseded'"), ElementsAre(4));
  EXPECT_THAT(Open(here), ElementsAre(1));
  for (int wave = 0; wave < 2; ++wave) {
    SucceedAll(here);
    Tick();
  }
  EXPECT_THAT(Open(here), ElementsAre(4));
}

TEST_F(WavesTest, AnotherDeploymentEndsTheRest) {
  AddPhones(1, 4);
  const std::int64_t first = Deploy(2);
  Tick();
  const std::int64_t second = Deploy(3);
  Tick();
  EXPECT_THAT(Open(first), IsEmpty());
  EXPECT_EQ(Deployment(first).progress.superseded, 2);
  EXPECT_EQ(Deployment(first).progress.to_come, 0);
  EXPECT_THAT(Open(second), ElementsAre(1, 2, 3));
  Tick();
  EXPECT_THAT(Open(first), IsEmpty());
}

TEST_F(WavesTest, AFormerJobThatSomebodyTriedAgainMakesRoomForTheWave) {
  AddPhones(1, 2);
  const std::int64_t first = Deploy(0);
  Tick();
  Fail(first, {2});
  const std::int64_t second = Deploy(1);
  Tick();
  EXPECT_EQ(Do([&](db::Tx& tx) { return db::RetryFailedJobs(tx, first); }), 1);
  SucceedAll(second);
  Tick();
  EXPECT_THAT(Open(second), ElementsAre(2));
  EXPECT_THAT(Open(first), IsEmpty());
}

TEST_F(WavesTest, OutOfForceNoWaveStartsAndBackInForceItGoesOn) {
  AddPhones(11, 4);
  const std::int64_t id = Deploy(2);
  Tick();
  Run([&](db::Tx& tx) { return DeactivateDeployment(tx, id, false).status(); });
  Join(1);
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), IsEmpty());
  Activate(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 13)) << "who joined meanwhile comes first";
  EXPECT_EQ(Deployment(id).waves.started, 2);
  Tick();
  EXPECT_EQ(Deployment(id).waves.started, 2);
}

TEST_F(WavesTest, BackInForceItWaitsForTheWaveThatIsStillUnderWay) {
  AddPhones(1, 4);
  const std::int64_t id = Deploy(2);
  Tick();
  Run([&](db::Tx& tx) { return DeactivateDeployment(tx, id, false).status(); });
  Activate(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(1, 2));
}

TEST_F(WavesTest, BackInForceAfterItsLastWaveItServesWhoJoinedMeanwhileInWaves) {
  AddPhones(11, 1);
  const std::int64_t id = Deploy(1);
  Tick();
  SucceedAll(id);
  Run([&](db::Tx& tx) { return DeactivateDeployment(tx, id, false).status(); });
  Join(20);
  Join(5);
  Activate(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(20));
  EXPECT_EQ(Deployment(id).progress.to_come, 1);
  SucceedAll(id);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(5));
  EXPECT_FALSE(Deployment(id).waves.pending);
}

TEST_F(WavesTest, AHaltOutlastsAReactivation) {
  AddPhones(1, 2);
  const std::int64_t id = Deploy(1);
  Tick();
  Fail(id, {1});
  Tick();
  Run([&](db::Tx& tx) { return DeactivateDeployment(tx, id, false).status(); });
  Activate(id);
  Tick();
  EXPECT_THAT(Open(id), IsEmpty());
  EXPECT_EQ(Do([&](db::Tx& tx) { return ResumeDeployment(tx, id, false); }), 0);
  Tick();
  EXPECT_THAT(Open(id), ElementsAre(2));
}

TEST_F(WavesTest, ADeploymentAndAPhoneWithAPlaceInTheNextWaveCanBeDeleted) {
  AddPhones(11, 3);
  const std::int64_t id = Deploy(1);
  Tick();
  Join(1);
  Join(2);
  Sql(absl::StrCat("DELETE FROM device WHERE id = ", ids_.at(1)));
  EXPECT_EQ(Deployment(id).progress.to_come, 3);
  Run([&](db::Tx& tx) -> absl::Status {
    EXPECT_OK(DeactivateDeployment(tx, id, true));
    return db::DeleteDeploymentWithJobs(tx, id);
  });
  EXPECT_EQ(Value<int>("SELECT count(*)::int FROM deployment_joiner"), 0);
}

}  // namespace
}  // namespace phonepki::scheduler
