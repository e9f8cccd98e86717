#include "cli/rollout_watch.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "cli/progress.h"
#include "cli/time_text.h"
#include "phonepki/deployment/v1/deployment.grpc.pb.h"

namespace phonepki::cli {

absl::Duration g_reconnect_patience = absl::Minutes(2);

namespace {

namespace v1 = deployment::v1;

constexpr absl::Duration kTick = absl::Seconds(1);

// Receives on a thread of its own, so that the display can go on ticking. The newest message wins.
class ProgressReceiver {
 public:
  ProgressReceiver(Session& session, std::shared_ptr<grpc::Channel> channel,
                   const std::vector<std::string>& names)
      : session_(session), stub_(std::move(channel)) {
    for (const std::string& name : names) request_.add_names(name);
    thread_ = std::thread([this] { Run(); });
  }
  ~ProgressReceiver() { thread_.join(); }

  struct Update {
    std::optional<v1::WatchProgressResponse> message;
    bool ended = false;
    absl::Status status;
  };

  Update WaitFor(absl::Duration time) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(time),
                   [&] { return pending_.message || pending_.ended; });
    Update update = std::move(pending_);
    pending_.message.reset();
    return update;
  }

 private:
  void Run() {
    absl::Status status = KeepStreaming([&](bool* progressed) {
      grpc::ClientContext context;
      auto reader = stub_.WatchProgress(&context, request_);
      v1::WatchProgressResponse message;
      bool finished = false;
      while (reader->Read(&message)) {
        *progressed = true;
        finished = message.finished();
        std::lock_guard lock(mutex_);
        pending_.message = message;
        wake_.notify_one();
      }
      absl::Status ended = session_.Explain(reader->Finish());
      if (ended.ok() && !finished) return absl::UnavailableError("the server ended the stream early");
      return finished ? absl::OkStatus() : ended;
    });
    std::lock_guard lock(mutex_);
    pending_.ended = true;
    pending_.status = status;
    wake_.notify_one();
  }

  Session& session_;
  v1::DeploymentService::Stub stub_;
  v1::WatchProgressRequest request_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Update pending_;
  std::thread thread_;
};

class Display {
 public:
  explicit Display(Session& session) : session_(session), started_(session.now()) {}

  void Take(const v1::WatchProgressResponse& message) {
    const absl::Time now = session_.now();
    if (session_.format() == Format::kJson) session_.ShowLine(message);
    for (const v1::Deployment& deployment : message.deployments()) {
      Entry& entry = entries_[deployment.name()];
      if (entry.deployment.name().empty()) order_.push_back(deployment.name());
      entry.deployment = deployment;
      entry.meter.Add(now, DoneCount(deployment.progress()));
    }
    v1::Progress sum;
    for (const auto& [name, entry] : entries_) AddTo(sum, entry.deployment.progress());
    total_.Add(now, DoneCount(sum));
  }

  // `last`: nothing comes after this, so nothing is held back.
  void Draw(bool last) {
    if (session_.format() != Format::kTable || order_.empty()) return;
    if (session_.environment().out_is_terminal) {
      DrawBars();
    } else {
      PrintChanges(last);
    }
  }

  ExitCode Result() const {
    for (const auto& [name, entry] : entries_) {
      const v1::Deployment& deployment = entry.deployment;
      if (!AllSucceeded(deployment.progress()) || deployment.state() != v1::Deployment::FINISHED)
        return kExitNotAll;
    }
    return kExitOk;
  }

  // For the person at the terminal: how it went and where to look next.
  void Summarize() const {
    if (session_.format() != Format::kTable) return;
    v1::Progress sum;
    for (const auto& [name, entry] : entries_) AddTo(sum, entry.deployment.progress());
    session_.Note(absl::StrCat("finished: ", sum.succeeded(), " succeeded, ", FailedCount(sum), " failed, ",
                               sum.cancelled() + sum.superseded(), " cancelled or superseded, in ",
                               SpanText(session_.now() - started_)));
    for (const std::string& name : order_) {
      const v1::Deployment& deployment = entries_.at(name).deployment;
      const std::string id = name.substr(name.find('/') + 1);
      if (FailedCount(deployment.progress()) > 0) {
        session_.Note(absl::StrCat("failed jobs: phonepki job list --deployment ", id,
                                   " --state failed --state timed-out"));
      }
      if (deployment.state() == v1::Deployment::HALTED) {
        session_.Note(absl::StrCat("halted, ", deployment.halt_reason_text(), "; ",
                                   deployment.progress().phones_to_come(), " phones are to come"));
        session_.Note(absl::StrCat("to go on: phonepki deployment resume ", id, ", with --retry-failed ",
                                   "to try the failed ones again first"));
      }
    }
  }

  void PrintNames() const {
    for (const std::string& name : order_) session_.environment().out << name << '\n';
  }

 private:
  struct Entry {
    v1::Deployment deployment;
    RateMeter meter;
    std::string printed;  // state and figures of the last line in a pipe
    absl::Time printed_at = absl::InfinitePast();
  };

  ProgressRow RowOf(const Entry& entry) const {
    const v1::Deployment& deployment = entry.deployment;
    ProgressRow row{deployment.location_display_name(), deployment.progress(),
                    entry.meter.PerSecond(session_.now()), ""};
    if (row.label.empty()) row.label = deployment.name();
    switch (deployment.state()) {
      case v1::Deployment::DRAFT:
        row.remark = "not activated";
        break;
      case v1::Deployment::SCHEDULED:
        row.remark = absl::StrCat("starts ", TimeText(deployment.deploy_date(), session_.zone()));
        break;
      case v1::Deployment::SUPERSEDED:
        row.remark = "superseded";
        break;
      case v1::Deployment::INACTIVE:
        row.remark = "deactivated";
        break;
      case v1::Deployment::HALTED:
        row.remark = "halted";
        break;
      default:
        break;
    }
    return row;
  }

  void DrawBars() {
    std::ostream& out = session_.environment().out;
    const TerminalSize size = session_.environment().terminal_size();
    const bool color = session_.style().color;
    std::vector<ProgressRow> rows;
    ProgressRow total{"Total", {}, total_.PerSecond(session_.now()), ""};
    for (const std::string& name : order_) {
      rows.push_back(RowOf(entries_.at(name)));
      AddTo(total.figures, rows.back().figures);
    }
    if (PhoneCount(total.figures) == 0 && !rows.empty()) total.remark = rows[0].remark;
    // More locations than lines: those with work left come first, the rest is in the total.
    const std::size_t room = std::max(3, size.rows - 3);
    std::string more;
    if (rows.size() > room) {
      std::stable_partition(rows.begin(), rows.end(), [](const ProgressRow& row) {
        return DoneCount(row.figures) < PhoneCount(row.figures);
      });
      more = absl::StrCat("… and ", rows.size() - room, " more locations");
      rows.resize(room);
    }
    rows.push_back(std::move(total));
    std::vector<std::string> lines = RenderBars(rows, size.columns - 1, color);
    if (!more.empty()) lines.insert(lines.end() - 1, more);
    std::string frame;
    if (drawn_ > 0) absl::StrAppend(&frame, "\x1b[", drawn_, "A\r");
    for (const std::string& line : lines) absl::StrAppend(&frame, line, "\x1b[K\n");
    drawn_ = lines.size();
    out << frame << std::flush;
  }

  void PrintChanges(bool last) {
    const absl::Time now = session_.now();
    for (const std::string& name : order_) {
      Entry& entry = entries_.at(name);
      std::string figures =
          absl::StrCat(entry.deployment.state(), entry.deployment.progress().SerializeAsString());
      if (figures == entry.printed || (!last && now - entry.printed_at < kTick)) continue;
      session_.environment().out << absl::FormatTime("%Y-%m-%dT%H:%M:%S%Ez", now, session_.zone()) << "  "
                                 << RenderPlain(RowOf(entry)) << std::endl;
      entry.printed = std::move(figures);
      entry.printed_at = now;
    }
  }

  Session& session_;
  absl::Time started_;
  std::map<std::string, Entry> entries_;
  std::vector<std::string> order_;
  RateMeter total_;
  std::size_t drawn_ = 0;
};

}  // namespace

absl::Status KeepStreaming(const std::function<absl::Status(bool* progressed)>& open) {
  absl::Time last_progress = absl::InfinitePast();
  absl::Duration pause = absl::Milliseconds(250);
  while (true) {
    bool progressed = false;
    absl::Status status = open(&progressed);
    if (progressed) {
      last_progress = absl::Now();
      pause = absl::Milliseconds(250);
    }
    // Never connected, or gone for too long: that is an answer too.
    if (!absl::IsUnavailable(status) || absl::Now() - last_progress > g_reconnect_patience) return status;
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Seconds(5));
  }
}

absl::StatusOr<ExitCode> WatchRollout(Session& session, const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, session.Channel());
  Display display(session);
  ProgressReceiver receiver(session, channel, names);
  while (true) {
    ProgressReceiver::Update update = receiver.WaitFor(kTick);
    if (update.message) display.Take(*update.message);
    if (update.ended && !update.status.ok()) return update.status;
    display.Draw(update.ended);
    if (update.ended) break;
  }
  if (session.format() == Format::kName) display.PrintNames();
  display.Summarize();
  return display.Result();
}

}  // namespace phonepki::cli
