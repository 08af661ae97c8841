// What a run says while it runs (stderr) and when it is over (stdout).
#pragma once

#include "cli/console.hpp"
#include "runtime/report.hpp"
#include "runtime/run_options.hpp"

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace troupe {

/// rewritten: one line in place, for a terminal. lines: about twenty plain lines a run, for a log.
enum class progress_style { none, lines, rewritten };

/// rewritten on a terminal, else lines.
progress_style style_for_stderr();

/// Prints steps as they finish, and lines between them. From any thread.
class progress {
public:
  explicit progress(progress_style style) : style_(style) {}
  ~progress() { end_line(); }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  void show(const step_progress& at);
  /// Ends a rewritten line, so that what follows starts on its own.
  void end_line();
  /// A line of its own, whatever the style.
  void say(const std::string& line);
  /// The same, unless nothing is to be shown.
  void note(const std::string& line);
  void show(const validation_point& at);
  /// A line of its own, unless nothing is to be shown.
  void show(const rank_recovery& one);

  /// A line of its own for the first ones, unless nothing is to be shown.
  void show(const run_stalled& one);
  /// What is wrong while the run goes on: a line of its own, whatever the style.
  void warn(const std::string& text) { say(warning_line(text)); }

private:
  bool is_due(const step_progress& at) const;
  void say_skipped(const step_progress& at);
  void put_line(const std::string& line);

  progress_style style_;
  std::uint64_t stalls_ = 0;
  std::mutex lock_; ///< of all below
  std::uint64_t steps_seen_ = 0;
  std::uint64_t skipped_ = 0;
  double seconds_ = 0.0;       ///< of all steps seen
  double shown_seconds_ = 0.0; ///< seconds_ when a line was last shown
  bool line_open_ = false;
  std::optional<double> validation_;
};

/// The run in a few lines. `generation`: the last checkpoint, empty if there is none.
std::string summary(const run_report& report, const std::string& generation);

} // namespace troupe
