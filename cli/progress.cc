#include "cli/progress.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/terminal_text.h"
#include "cli/time_text.h"

namespace phonepki::cli {
namespace {

using deployment::v1::Progress;

constexpr absl::Duration kWindow = absl::Seconds(30);
constexpr int kMinBar = 10;
constexpr int kMaxBar = 30;
constexpr int kMaxLabel = 24;

int Percent(const Progress& figures) {
  if (PhoneCount(figures) == 0) return 100;
  // 99 % until the very last job.
  return static_cast<int>(DoneCount(figures) * 100 / PhoneCount(figures));
}

struct Figure {
  std::string text;
  int importance;  // the lowest goes first when the line is too long
  Color color = Color::kNone;
};

// `every`: the ones that are seldom there as well. `waves`: one says in which wave it is.
std::vector<Figure> Figures(const ProgressRow& row, bool every, bool waves) {
  const Progress& p = row.figures;
  std::vector<Figure> figures;
  if (waves) figures.push_back({p.waves() > 0 ? absl::StrCat("wave ", p.wave(), "/", p.waves()) : "", 6});
  const auto add = [&](const char* word, std::int64_t count, int importance, Color color, bool always) {
    if (always || every || count > 0) {
      figures.push_back({absl::StrCat(word, " ", count), importance, count > 0 ? color : Color::kNone});
    }
  };
  add("ok", p.succeeded(), 9, Color::kGreen, true);
  add("failed", FailedCount(p), 8, Color::kRed, true);
  add("busy", p.deferred_busy(), 5, Color::kYellow, true);
  add("offline", p.deferred_offline(), 4, Color::kYellow, true);
  add("verifying", p.verifying(), 3, Color::kCyan, true);
  add("cancelled", p.cancelled() + p.superseded(), 2, Color::kDim, false);
  return figures;
}

std::string Rate(double rate) {
  return rate < 9.95 ? absl::StrFormat("%.1f/s", rate) : absl::StrFormat("%.0f/s", rate);
}

std::string Eta(const ProgressRow& row) {
  const std::int64_t missing = PhoneCount(row.figures) - DoneCount(row.figures);
  if (missing == 0) return "done";
  if (row.rate <= 0) return "ETA --:--";
  return absl::StrCat("ETA ", SpanText(absl::Seconds(static_cast<double>(missing) / row.rate)));
}

}  // namespace

void RateMeter::Add(absl::Time time, std::int64_t done) {
  if (!samples_.empty() && samples_.back().done > done) samples_.clear();  // jobs were put back
  samples_.push_back({time, done});
  while (samples_.size() > 2 && time - samples_[1].time >= kWindow) samples_.pop_front();
}

double RateMeter::PerSecond(absl::Time now) const {
  if (samples_.empty()) return 0;
  const absl::Duration elapsed = now - samples_.front().time;
  if (elapsed < absl::Milliseconds(100)) return 0;
  return static_cast<double>(samples_.back().done - samples_.front().done) / absl::ToDoubleSeconds(elapsed);
}

std::int64_t DoneCount(const Progress& p) {
  return p.succeeded() + p.failed() + p.timed_out() + p.cancelled() + p.superseded();
}

std::int64_t PhoneCount(const Progress& p) {
  return p.total() + p.phones_to_come();
}

std::int64_t FailedCount(const Progress& p) {
  return p.failed() + p.timed_out();
}

bool AllSucceeded(const Progress& p) {
  return p.succeeded() == PhoneCount(p);
}

void AddTo(Progress& sum, const Progress& p) {
  sum.set_total(sum.total() + p.total());
  sum.set_scheduled(sum.scheduled() + p.scheduled());
  sum.set_waiting(sum.waiting() + p.waiting());
  sum.set_running(sum.running() + p.running());
  sum.set_deferred_busy(sum.deferred_busy() + p.deferred_busy());
  sum.set_deferred_offline(sum.deferred_offline() + p.deferred_offline());
  sum.set_verifying(sum.verifying() + p.verifying());
  sum.set_succeeded(sum.succeeded() + p.succeeded());
  sum.set_failed(sum.failed() + p.failed());
  sum.set_timed_out(sum.timed_out() + p.timed_out());
  sum.set_cancelled(sum.cancelled() + p.cancelled());
  sum.set_superseded(sum.superseded() + p.superseded());
  sum.set_phones_to_come(sum.phones_to_come() + p.phones_to_come());
}

std::string Bar(double share, int width) {
  const int full = static_cast<int>(std::floor(std::clamp(share, 0.0, 1.0) * width));
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  return bar;
}

std::vector<std::string> RenderBars(const std::vector<ProgressRow>& rows, int width, bool color) {
  // The same figures with the same widths in every line, so that the eye can run down a column.
  struct Line {
    std::string label, counts;
    std::vector<Figure> figures;
  };
  std::vector<Line> lines;
  bool any_cancelled = false, any_waves = false;
  for (const ProgressRow& row : rows) {
    any_cancelled |= row.figures.cancelled() + row.figures.superseded() > 0;
    any_waves |= row.figures.waves() > 0;
  }
  for (const ProgressRow& row : rows) {
    Line line{Printable(row.label), absl::StrCat(DoneCount(row.figures), "/", PhoneCount(row.figures)),
              Figures(row, any_cancelled, any_waves)};
    if (row.remark.empty()) {
      line.figures.push_back({Rate(row.rate), 6});
      line.figures.push_back({Eta(row), 7});
    } else {
      line.figures.push_back({"", 6});
      line.figures.push_back({Printable(row.remark), 7, Color::kDim});
    }
    lines.push_back(std::move(line));
  }
  int label_width = 0, counts_width = 0;
  std::vector<int> figure_widths(lines.empty() ? 0 : lines[0].figures.size());
  for (const Line& line : lines) {
    label_width = std::max(label_width, std::min(DisplayWidth(line.label), kMaxLabel));
    counts_width = std::max(counts_width, DisplayWidth(line.counts));
    for (std::size_t i = 0; i < figure_widths.size(); ++i) {
      figure_widths[i] = std::max(figure_widths[i], DisplayWidth(line.figures[i].text));
    }
  }
  std::vector<bool> shown(figure_widths.size(), true);
  const auto needed = [&] {
    int sum = label_width + 2 + 2 + 4 + 2 + counts_width;
    for (std::size_t i = 0; i < shown.size(); ++i) sum += shown[i] ? 2 + figure_widths[i] : 0;
    return sum;
  };
  while (needed() + kMinBar > width) {
    std::size_t least = shown.size();
    for (std::size_t i = 0; i < shown.size(); ++i) {
      if (shown[i] &&
          (least == shown.size() || lines[0].figures[i].importance < lines[0].figures[least].importance)) {
        least = i;
      }
    }
    if (least == shown.size()) break;
    shown[least] = false;
  }
  const int bar_width = std::clamp(width - needed(), 0, kMaxBar);
  std::vector<std::string> result;
  for (std::size_t r = 0; r < lines.size(); ++r) {
    const Line& line = lines[r];
    const int percent = Percent(rows[r].figures);
    const Color bar_color = FailedCount(rows[r].figures) > 0 ? Color::kYellow : Color::kGreen;
    const auto compose = [&](bool painted) {
      std::string text = absl::StrCat(
          Fit(line.label, label_width), "  ", Paint(Bar(percent / 100.0, bar_width), bar_color, painted),
          "  ", absl::StrFormat("%3d%%", percent), "  ", Fit(line.counts, counts_width, true));
      for (std::size_t i = 0; i < shown.size(); ++i) {
        if (!shown[i]) continue;
        const bool last = i + 1 == shown.size();
        absl::StrAppend(&text, "  ",
                        Paint(last ? line.figures[i].text : Fit(line.figures[i].text, figure_widths[i]),
                              line.figures[i].color, painted));
      }
      return text;
    };
    // A line that wraps would spoil the drawing in place.
    const std::string plain = compose(false);
    result.push_back(DisplayWidth(plain) > width ? Truncate(plain, width) : compose(color));
  }
  return result;
}

std::string RenderPlain(const ProgressRow& row) {
  std::string text = absl::StrCat(Printable(row.label), "  ", DoneCount(row.figures), "/",
                                  PhoneCount(row.figures), "  ", Percent(row.figures), "%");
  for (const Figure& figure : Figures(row, true, row.figures.waves() > 0)) {
    absl::StrAppend(&text, "  ", figure.text);
  }
  const std::int64_t open = row.figures.scheduled() + row.figures.waiting() + row.figures.running();
  absl::StrAppend(&text, "  open ", open);
  if (row.remark.empty()) {
    absl::StrAppend(&text, "  ", Rate(row.rate), "  ", Eta(row));
  } else {
    absl::StrAppend(&text, "  ", Printable(row.remark));
  }
  return text;
}

}  // namespace phonepki::cli
