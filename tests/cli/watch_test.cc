// Streams: roll-out progress and job changes.
#include <atomic>

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "cli/rollout_watch.h"
#include "phonepki/deployment/v1/deployment.pb.h"
#include "phonepki/job/v1/job.pb.h"
#include "tests/cli/fake_server.h"

namespace phonepki::cli::testing {
namespace {

namespace v1 = deployment::v1;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kWatch[] = "deployment.v1.DeploymentService/WatchProgress";
constexpr char kList[] = "deployment.v1.DeploymentService/ListDeployments";

v1::Deployment Bremen(int succeeded, int failed, int total = 4) {
  v1::Deployment deployment;
  deployment.set_name("deployments/12");
  deployment.set_location_display_name("Bremen");
  deployment.set_active(true);
  deployment.set_state(succeeded + failed == total ? v1::Deployment::FINISHED : v1::Deployment::RUNNING);
  deployment.mutable_progress()->set_total(total);
  deployment.mutable_progress()->set_succeeded(succeeded);
  deployment.mutable_progress()->set_failed(failed);
  deployment.mutable_progress()->set_running(total - succeeded - failed);
  return deployment;
}

std::string Message(std::vector<v1::Deployment> deployments, bool finished) {
  v1::WatchProgressResponse message;
  for (const v1::Deployment& deployment : deployments) *message.add_deployments() = deployment;
  message.set_finished(finished);
  return message.SerializeAsString();
}

int CountLines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

class WatchTest : public ::testing::Test {
 protected:
  FakeServer server_;
};

TEST_F(WatchTest, PipeGetsALinePerChangeAtMostOneASecondAndAlwaysTheLast) {
  server_.Set(kWatch, [](const std::string& bytes) {
    v1::WatchProgressRequest request;
    request.ParseFromString(bytes);
    EXPECT_EQ(request.names(0), "deployments/12");
    return FakeAnswer{{Message({Bremen(0, 0)}, false), Message({Bremen(1, 0)}, false),
                       Message({Bremen(2, 0)}, false), Message({Bremen(4, 0)}, true)},
                      {},
                      20};
  });
  const Outcome run = RunCli(&server_, {"rollout", "watch", "12"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("Bremen  0/4  0%  ok 0  failed 0"));
  EXPECT_THAT(run.out, HasSubstr("Bremen  4/4  100%  ok 4  failed 0"));
  EXPECT_EQ(CountLines(run.out), 2);  // those in between came within a second
  EXPECT_THAT(run.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(run.err, HasSubstr("finished: 4 succeeded, 0 failed"));
}

TEST_F(WatchTest, TerminalDrawsInPlaceWithATotal) {
  server_.Set(kWatch, [](const std::string&) {
    return FakeAnswer{{Message({Bremen(1, 0)}, false), Message({Bremen(4, 0)}, true)}, {}, 50};
  });
  const Outcome run =
      RunCli(&server_, {"deployment", "watch", "deployments/12"}, {.terminal = true, .columns = 120});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(run.out, HasSubstr("\x1b[2A\r"));  // up over Bremen and Total
  EXPECT_THAT(run.out, HasSubstr("Total"));
  EXPECT_THAT(run.out, HasSubstr("100%"));
}

TEST_F(WatchTest, AFailedJobIsExitCodeSevenAndSaysWhereToLook) {
  server_.Set(kWatch, [](const std::string&) { return FakeAnswer{{Message({Bremen(3, 1)}, true)}, {}}; });
  const Outcome run = RunCli(&server_, {"rollout", "watch", "12"});
  EXPECT_EQ(run.code, 7);
  EXPECT_THAT(run.err, HasSubstr("phonepki job list --deployment 12 --state failed"));
}

TEST_F(WatchTest, ADeactivatedDeploymentHasNotSucceeded) {
  v1::Deployment draft = Bremen(0, 0, 0);
  draft.set_state(v1::Deployment::DRAFT);
  server_.Set(kWatch, [draft](const std::string&) { return FakeAnswer{{Message({draft}, true)}, {}}; });
  EXPECT_EQ(RunCli(&server_, {"rollout", "watch", "12"}).code, 7);
}

TEST_F(WatchTest, AHaltEndsItAndSaysWhyAndHowToGoOn) {
  v1::Deployment halted = Bremen(0, 4);
  halted.set_state(v1::Deployment::HALTED);
  halted.set_halt_reason_text("wave 1: of 4 phones that were reached, 4 failed");
  halted.mutable_progress()->set_wave(1);
  halted.mutable_progress()->set_waves(3);
  halted.mutable_progress()->set_phones_to_come(8);
  server_.Set(kWatch, [halted](const std::string&) { return FakeAnswer{{Message({halted}, true)}, {}}; });
  const Outcome run = RunCli(&server_, {"rollout", "watch", "12"});
  EXPECT_EQ(run.code, 7);
  EXPECT_THAT(run.out, HasSubstr("Bremen  4/12  33%  wave 1/3"));
  EXPECT_THAT(run.out, HasSubstr("halted"));
  EXPECT_THAT(run.err, HasSubstr("wave 1: of 4 phones that were reached, 4 failed; 8 phones are to come"));
  EXPECT_THAT(run.err, HasSubstr("phonepki deployment resume 12"));
}

TEST_F(WatchTest, JsonIsOneMessagePerLine) {
  server_.Set(kWatch, [](const std::string&) { return FakeAnswer{{Message({Bremen(4, 0)}, true)}, {}}; });
  const Outcome run = RunCli(&server_, {"rollout", "watch", "12", "-o", "json"});
  EXPECT_EQ(CountLines(run.out), 1);
  v1::WatchProgressResponse message;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(run.out, &message).ok());
  EXPECT_TRUE(message.finished());
}

TEST_F(WatchTest, WithoutNamesWhateverIsUnfinishedAndByLocationTheActiveOne) {
  server_.On<v1::ListDeploymentsRequest, v1::ListDeploymentsResponse>(
      kList, [](const auto& request, auto* response) {
        *response->add_deployments() = Bremen(0, 0);
        auto* old = response->add_deployments();
        *old = Bremen(4, 0);
        old->set_name("deployments/3");
        EXPECT_TRUE(request.location().empty() || request.location() == "locations/Bremen");
        return grpc::Status::OK;
      });
  std::vector<std::string> watched;
  server_.Set(kWatch, [&](const std::string& bytes) {
    v1::WatchProgressRequest request;
    request.ParseFromString(bytes);
    watched.assign(request.names().begin(), request.names().end());
    return FakeAnswer{{Message({Bremen(4, 0)}, true)}, {}};
  });
  EXPECT_EQ(RunCli(&server_, {"rollout", "watch"}).code, 0);
  EXPECT_THAT(watched, ::testing::ElementsAre("deployments/12"));
  EXPECT_EQ(RunCli(&server_, {"rollout", "watch", "Bremen"}).code, 0);
  EXPECT_THAT(watched, ::testing::ElementsAre("deployments/12"));
}

TEST_F(WatchTest, SurvivesARestartOfTheServer) {
  std::atomic<int> calls = 0;
  server_.Set(kWatch, [&](const std::string&) {
    if (calls++ == 0) {
      return FakeAnswer{{Message({Bremen(1, 0)}, false)},
                        grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping")};
    }
    return FakeAnswer{{Message({Bremen(4, 0)}, true)}, {}};
  });
  EXPECT_EQ(RunCli(&server_, {"rollout", "watch", "12"}).code, 0);
  EXPECT_EQ(calls, 2);
}

TEST_F(WatchTest, GivesUpWhenTheServerStaysAway) {
  g_reconnect_patience = absl::Milliseconds(600);
  std::atomic<int> calls = 0;
  server_.Set(kWatch, [&](const std::string&) {
    FakeAnswer answer{{}, grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping")};
    if (calls++ == 0) answer.messages.push_back(Message({Bremen(1, 0)}, false));
    return answer;
  });
  const Outcome run = RunCli(&server_, {"rollout", "watch", "12"});
  g_reconnect_patience = absl::Minutes(2);
  EXPECT_EQ(run.code, 6);
  EXPECT_THAT(run.err, HasSubstr("cannot reach server"));
}

TEST_F(WatchTest, AnUnknownDeploymentIsAnErrorAtOnce) {
  server_.Set(kWatch, [](const std::string&) {
    return FakeAnswer{
        {}, FakeServer::Error(grpc::StatusCode::NOT_FOUND, "deployments/99 does not exist", "", "names")};
  });
  EXPECT_EQ(RunCli(&server_, {"rollout", "watch", "99"}).code, 3);
}

TEST_F(WatchTest, CreateAndWatchInOneCommand) {
  v1::CreateDeploymentResponse created;
  *created.mutable_deployment() = Bremen(0, 0);
  server_.Expect<v1::CreateDeploymentRequest>("deployment.v1.DeploymentService/CreateDeployment", created);
  server_.Set(kWatch, [](const std::string&) { return FakeAnswer{{Message({Bremen(2, 2)}, true)}, {}}; });
  EXPECT_EQ(RunCli(&server_, {"deployment", "create", "--location", "Bremen", "--connector", "WBM",
                              "--activate", "--watch"})
                .code,
            7);
  EXPECT_EQ(
      RunCli(&server_, {"deployment", "create", "--location", "Bremen", "--connector", "WBM", "--watch"})
          .code,
      2);
}

TEST_F(WatchTest, JobChangesResumeWithTheCursor) {
  std::vector<std::string> cursors;
  server_.Set("job.v1.JobService/WatchJobs", [&](const std::string& bytes) {
    job::v1::WatchJobsRequest request;
    request.ParseFromString(bytes);
    cursors.push_back(request.cursor());
    job::v1::WatchJobsResponse change;
    change.set_job("jobs/1");
    change.set_device("devices/00:1A:E8:00:00:01");
    change.set_cursor("7:" + std::to_string(cursors.size()));
    change.mutable_event()->set_from_state(job::v1::VERIFYING);
    change.mutable_event()->set_to_state(job::v1::SUCCEEDED);
    return FakeAnswer{{change.SerializeAsString()}, grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping")};
  });
  const Outcome run = RunCli(&server_, {"job", "watch", "--count", "2", "--cursor", "7:0"});
  EXPECT_EQ(run.code, 0);
  EXPECT_THAT(cursors, ::testing::ElementsAre("7:0", "7:1"));
  EXPECT_EQ(CountLines(run.out), 2);
  EXPECT_THAT(run.out, HasSubstr("verifying -> succeeded"));
}

}  // namespace
}  // namespace phonepki::cli::testing
