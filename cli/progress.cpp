#include "cli/progress.hpp"

#include "cli/console.hpp"

#include <fmt/format.h>

#include <cmath>
#include <unistd.h>

namespace troupe {

namespace {

constexpr std::uint64_t lines_per_run = 20;
constexpr double seconds_between_rewrites = 0.1;
constexpr std::uint64_t most_skips_told = 20;
constexpr std::uint64_t most_stalls_told = 20;
constexpr const char* erase_line = "\r\x1b[K"; ///< carriage return, then erase to the end of the line

/// "42 s", "3:07", "2:03:07"
std::string duration(double seconds) {
  const auto total = static_cast<std::uint64_t>(std::llround(seconds));
  if (total < 60)
    return fmt::format("{} s", total);
  if (total < 3600)
    return fmt::format("{}:{:02}", total / 60, total % 60);
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

} // namespace

progress_style style_for_stderr() {
  return ::isatty(STDERR_FILENO) == 1 ? progress_style::rewritten : progress_style::lines;
}

void progress::end_line() {
  const std::lock_guard hold(lock_);
  if (line_open_)
    put_notice("\n");
  line_open_ = false;
}

bool progress::is_due(const step_progress& at) const {
  if (steps_seen_ == 1 || at.step == at.steps)
    return true;
  if (style_ == progress_style::rewritten)
    return seconds_ - shown_seconds_ >= seconds_between_rewrites;
  return at.step * lines_per_run / at.steps != (at.step - 1) * lines_per_run / at.steps;
}

/// A line that stays, for the first ones; a run that skips all of its steps is told often enough by their number.
void progress::say_skipped(const step_progress& at) {
  ++skipped_;
  if (style_ == progress_style::none || skipped_ > most_skips_told)
    return;
  put_notice(fmt::format("{}{}, skipped\n", line_open_ ? "\n" : "", at.skipped));
  line_open_ = false;
}

void progress::show(const validation_point& at) {
  const std::lock_guard hold(lock_);
  validation_ = at.loss;
}

void progress::show(const step_progress& at) {
  const std::lock_guard hold(lock_);
  ++steps_seen_;
  seconds_ += at.seconds;
  if (!at.skipped.empty())
    say_skipped(at);
  if (style_ == progress_style::none || !is_due(at))
    return;
  shown_seconds_ = seconds_;
  const double left = seconds_ / static_cast<double>(steps_seen_) * static_cast<double>(at.steps - at.step);
  const std::string validation = validation_ ? fmt::format("  validation {:.4f}", *validation_) : "";
  const std::string bubble = at.bubble_fraction ? fmt::format("  bubble {:.1f} %", 100.0 * *at.bubble_fraction) : "";
  const std::string loss = at.emulated ? "emulated" : fmt::format("loss {:.4f}", at.loss);
  const std::string skipped = skipped_ > 0 ? fmt::format("  skipped {}", skipped_) : "";
  const std::string line = fmt::format("step {}/{}  {}{}  {:.0f} tokens/s{}{}  left {}", at.step, at.steps, loss,
                                       validation, at.tokens_per_second, bubble, skipped, duration(left));
  line_open_ = style_ == progress_style::rewritten;
  put_notice(line_open_ ? erase_line + line : line + "\n");
}

void progress::show(const rank_recovery& one) {
  constexpr double milliseconds = 1e3; // in a second
  const std::string end = one.resumed > 0.0
                              ? fmt::format("lives again after {:.1f} ms, {} microbatches replayed",
                                            (one.resumed - one.noticed) * milliseconds, one.replayed_passes)
                              : "did not live again";
  note(fmt::format("step {}: {}; rank {} {}", one.step + 1, one.cause, one.rank, end));
}

/// A run of long computations is taken for stalled again and again; the report has their number.
void progress::show(const run_stalled& one) {
  if (++stalls_ <= most_stalls_told)
    note(fmt::format("step {}: nothing has come for {:.1f} s; what may have got lost is sent again", one.step + 1,
                     one.seconds));
}

void progress::say(const std::string& line) {
  const std::lock_guard hold(lock_);
  put_line(line);
}

void progress::note(const std::string& line) {
  const std::lock_guard hold(lock_);
  if (style_ != progress_style::none)
    put_line(line);
}

/// In place of a line that is rewritten, which comes back below.
void progress::put_line(const std::string& line) {
  put_notice(fmt::format("{}{}\n", line_open_ ? erase_line : "", one_line(line)));
  line_open_ = false;
}

std::string summary(const run_report& report, const std::string& generation) {
  const std::uint64_t done = report.first_step + report.losses.size();
  std::string text =
      fmt::format("steps           {} to {}{}\n", report.first_step, done, report.interrupted ? ", interrupted" : "");
  const bool emulated = report.spec.pipeline.emulated();
  if (emulated)
    text += fmt::format("emulated        {}\n", report.spec.pipeline.emulate);
  if (!report.losses.empty() && !emulated)
    text += fmt::format("loss            {:.4f}\n", report.losses.back());
  if (!report.skipped_steps.empty())
    text += fmt::format("skipped         {} of them, the last one step {}\n", report.skipped_steps.size(),
                        report.skipped_steps.back().step);
  if (!report.validations.empty())
    text += fmt::format("validation      {:.4f} after step {}\n", report.validations.back().loss,
                        report.validations.back().step);
  text += fmt::format("tokens/s        {:.0f}\n", report.tokens_per_second);
  if (report.bubble_fraction)
    text += fmt::format("bubble          {:.1f} %{}\n", 100.0 * *report.bubble_fraction,
                        report.predicted_bubble_fraction
                            ? fmt::format(", predicted {:.1f} %", 100.0 * *report.predicted_bubble_fraction)
                            : "");
  if (!emulated)
    text += fmt::format("weights_sha256  {}\n", report.weights_sha256);
  if (!generation.empty())
    text += fmt::format("checkpoint      {}\n", generation);
  if (report.interrupted && !generation.empty())
    text += fmt::format("go on with      troupe train --resume {}\n", report.spec.checkpoint.directory);
  return text;
}

} // namespace troupe
