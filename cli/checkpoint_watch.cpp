#include "cli/checkpoint_watch.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe {

void checkpoint_watch::note(const checkpoint_committed& in) {
  newest_ = in.steps_done;
  generation_ = in.generation;
  if (!in.warning.empty())
    shown_.say(fmt::format("checkpoint after step {}: {}; going on", in.steps_done, in.warning));
}

void checkpoint_watch::note(const checkpoint_failed& in) {
  const std::string left =
      newest_ ? fmt::format("the one after step {} stays", *newest_) : std::string("there is none before it");
  failure_ = fmt::format("checkpoint after step {} failed: {}; {}", in.steps_done, in.reason, left);
  told_ = in.run_ends || (in.steps_done < last_step_ && interrupts_ == 0);
  if (told_)
    shown_.say(failure_ + (in.run_ends ? "" : "; going on"));
}

void checkpoint_watch::expect_last(const run_report& report) {
  const std::uint64_t done = report.first_step + report.losses.size();
  if (!report.failed_checkpoints.empty() && report.failed_checkpoints.back().steps_done == done)
    throw checkpoint_error(failure_);
  if (!std::exchange(told_, true))
    shown_.say(failure_);
}

} // namespace troupe
