// Job control.
#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "base/error.h"
#include "cli/commands/commands.h"
#include "cli/commands/common.h"
#include "cli/rollout_watch.h"
#include "phonepki/job/v1/job.grpc.pb.h"

namespace phonepki::cli {
namespace {

namespace v1 = job::v1;
using Stub = v1::JobService::Stub;

constexpr Noun kNoun = {"job", "jobs", Complete::kNothing, "job: number or jobs/{id}"};

std::string StateWord(v1::JobState state) {
  return state == v1::JOB_STATE_UNSPECIFIED ? "" : Word(v1::JobState_Name(state));
}
Cell StateOf(v1::JobState state) {
  return {StateWord(state), StateColor(StateWord(state))};
}

void ShowJob(Session& session, const v1::Job& job) {
  Sheet sheet;
  sheet.Add("Name", job.name());
  sheet.Add("Device", ShortName(job.device()));
  sheet.Add("Location", job.location());
  sheet.Add("Deployment", job.deployment());
  sheet.Add("Slot", job.slot());
  sheet.Add("State", StateWord(job.state()), StateColor(StateWord(job.state())));
  sheet.Add("Reason", job.reason());
  sheet.Add("Reason text", job.reason_text());
  sheet.Add("Attempt", absl::StrCat(job.attempt()));
  sheet.Add("Certificate", job.certificate());
  sheet.Add("Created", TimeText(job.create_time(), session.zone(), true));
  sheet.Add("Next run", TimeText(job.next_run_time(), session.zone(), true));
  sheet.Add("Deadline", TimeText(job.deadline(), session.zone(), true));
  sheet.Add("Finished", TimeText(job.finish_time(), session.zone(), true));
  session.Print(sheet);
  if (job.history_size() == 0) return;
  session.environment().out << '\n';
  Table table({{"TIME"}, {"FROM"}, {"TO"}, {"ATTEMPT", true}, {"REASON"}, {"TEXT", false, true}});
  for (const v1::JobEvent& event : job.history()) {
    table.Add({absl::FormatTime("%Y-%m-%d %H:%M:%S", FromProto(event.time()), session.zone()),
               StateOf(event.from_state()), StateOf(event.to_state()), absl::StrCat(event.attempt()),
               event.reason(), event.reason_text()});
  }
  session.Print(table);
}

template <typename Request, typename Response>
Command JobVerb(const std::string& verb, const std::string& summary, const std::string& example,
                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  Command command = NamedCommand<Stub, Request, Response>(
      kNoun, verb, summary, {example}, method,
      [](Session& session, const auto& response, const std::string&) { ShowJob(session, response.job()); });
  command.options[0].names = command.options[0].placeholder = "ID";
  return command;
}

std::vector<std::string> StateWords() {
  std::vector<std::string> words;
  for (int state = v1::SCHEDULED; state <= v1::JobState_MAX; ++state)
    words.push_back(StateWord(static_cast<v1::JobState>(state)));
  return words;
}

Command List() {
  struct Arguments {
    std::string deployment, device, reason;
    std::vector<std::string> states;
    std::int64_t limit = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "list";
  command.aliases = {"ls"};
  command.summary = "List jobs, newest first; filters combine";
  command.examples = {"phonepki job list --deployment 12 --state failed --state timed-out",
                      "phonepki job list --device 00:1A:E8:00:00:01", "phonepki job list --limit 50"};
  command.options = {
      Value("--deployment", "ID", "of one deployment", &args->deployment).Completing(Complete::kDeployment),
      Value("--device", "MAC", "of one phone", &args->device).Completing(Complete::kDevice),
      Value("--state", "STATE", "in this state", &args->states).OneOf(StateWords()),
      Value("--reason", "WORD", "with this reason", &args->reason),
      Value("--limit", "N", "at most so many; default all", &args->limit)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    v1::ListJobsRequest request;
    request.set_deployment(ResourceName("deployments", args->deployment));
    ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(args->device));
    request.set_reason(args->reason);
    for (const std::string& word : args->states) {
      v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
      v1::JobState_Parse(absl::StrReplaceAll(absl::AsciiStrToUpper(word), {{"-", "_"}}), &state);
      request.add_states(state);
    }
    ASSIGN_OR_RETURN(auto response, session.List(&Stub::ListJobs, request, args->limit));
    return session.Show(response, [&] {
      Table table({{"ID"},
                   {"DEVICE"},
                   {"STATE"},
                   {"REASON"},
                   {"ATT", true},
                   {"NEXT / ENDED"},
                   {"TEXT", false, true}});
      for (const v1::Job& job : response.jobs()) {
        table.Add({ShortName(job.name()), ShortName(job.device()), StateOf(job.state()), job.reason(),
                   absl::StrCat(job.attempt()),
                   TimeText(job.has_finish_time() ? job.finish_time() : job.next_run_time(), session.zone()),
                   job.reason_text()});
      }
      session.Print(table);
    });
  };
  return command;
}

Command RetryFailed() {
  auto id = std::make_shared<std::string>();
  Command command;
  command.name = "retry-failed";
  command.summary = "Retry all failed and timed-out jobs of a deployment";
  command.examples = {"phonepki job retry-failed 12"};
  command.options = {Positional("DEPLOYMENT", "deployment: number or deployments/{id}", id.get())
                         .Required()
                         .Completing(Complete::kDeployment)};
  command.run = [id](Session& session) -> absl::StatusOr<ExitCode> {
    v1::RetryFailedJobsRequest request;
    request.set_deployment(ResourceName("deployments", *id));
    ASSIGN_OR_RETURN(auto response, session.Call(&Stub::RetryFailedJobs, request));
    return session.Show(
        response, [&] { session.environment().out << response.retried() << " jobs are tried again\n"; });
  };
  return command;
}

Command Watch() {
  struct Arguments {
    std::string deployment, cursor;
    std::int64_t count = 0;
  };
  auto args = std::make_shared<Arguments>();
  Command command;
  command.name = "watch";
  command.summary = "Follow state changes as they happen, none missed, until interrupted";
  command.description =
      "With -o json every change is a line with a cursor; --cursor with the last one continues without a "
      "gap.";
  command.examples = {"phonepki job watch", "phonepki job watch --deployment 12",
                      "phonepki job watch -o json | jq -r '[.device, .event.to_state] | @tsv'"};
  command.options = {
      Value("--deployment", "ID", "only of one deployment", &args->deployment)
          .Completing(Complete::kDeployment),
      Value("--cursor", "CURSOR", "continue after this change; default from now on", &args->cursor),
      Value("--count", "N", "end after so many changes; default never", &args->count)};
  command.run = [args](Session& session) -> absl::StatusOr<ExitCode> {
    ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, session.Channel());
    Stub stub(channel);
    v1::WatchJobsRequest request;
    request.set_deployment(ResourceName("deployments", args->deployment));
    request.set_cursor(args->cursor);
    std::int64_t received = 0;
    const bool color = session.style().color;
    RETURN_IF_ERROR(KeepStreaming([&](bool* progressed) -> absl::Status {
      grpc::ClientContext context;
      auto reader = stub.WatchJobs(&context, request);
      v1::WatchJobsResponse change;
      while (reader->Read(&change)) {
        *progressed = true;
        request.set_cursor(change.cursor());
        if (session.format() == Format::kTable) {
          const v1::JobEvent& event = change.event();
          const std::string to = StateWord(event.to_state());
          session.environment().out << absl::FormatTime("%H:%M:%S", FromProto(event.time()), session.zone())
                                    << "  " << Printable(ShortName(change.device())) << "  job "
                                    << Printable(ShortName(change.job())) << "  "
                                    << Fit(StateWord(event.from_state()), 9) << " -> "
                                    << Paint(Fit(to, 10), StateColor(to), color) << "  "
                                    << Printable(absl::StrCat(event.reason(),
                                                              event.reason_text().empty() ? "" : ": ",
                                                              event.reason_text()))
                                    << std::endl;
        } else if (session.format() == Format::kName) {
          session.environment().out << change.job() << std::endl;
        } else {
          session.ShowLine(change);
        }
        if (++received == args->count) {
          context.TryCancel();
          return absl::OkStatus();
        }
      }
      return session.Explain(reader->Finish());
    }));
    return kExitOk;
  };
  return command;
}

}  // namespace

Command JobCommand() {
  Command command;
  command.name = "job";
  command.aliases = {"job-control"};
  command.summary = "Job control: one job brings one certificate onto one phone";
  command.examples = {"phonepki job list --deployment 12 --state failed", "phonepki job get 4711"};
  command.commands = {
      List(),
      JobVerb<v1::GetJobRequest, v1::GetJobResponse>("get", "Show one job with its history",
                                                     "phonepki job get 4711", &Stub::GetJob),
      JobVerb<v1::CancelJobRequest, v1::CancelJobResponse>("cancel", "Cancel a job that is not final",
                                                           "phonepki job cancel 4711", &Stub::CancelJob),
      JobVerb<v1::RetryJobRequest, v1::RetryJobResponse>(
          "retry", "Put a failed, timed-out or cancelled job back, with a new deadline",
          "phonepki job retry 4711", &Stub::RetryJob),
      RetryFailed(),
      Watch()};
  return command;
}

}  // namespace phonepki::cli
