#include "runtime/timeline.hpp"

#include "runtime/schedule/draw_svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace troupe {

namespace {

constexpr double milliseconds = 1e3; ///< the picture's unit, per second

simulation in_milliseconds(simulation timing) {
  for (std::vector<timed_action>& ran : timing.ranks)
    for (timed_action& one : ran) {
      one.start *= milliseconds;
      one.end *= milliseconds;
    }
  timing.makespan *= milliseconds;
  return timing;
}

} // namespace

timeline::timeline(timeline_setup setup) : setup_(setup) {
  expect_drawable(2 * count_actions(setup_.pipeline->order));
}

void timeline::add(const step_closed& closing, const std::vector<slice_batch>& slices) {
  const bool warm = ++seen_ > setup_.warmup;
  if (warm)
    median_.add(closing.seconds);
  const auto distance = [&](double seconds) { return std::abs(seconds - median_.value()); };
  if (warm && kept_ && kept_->warm && distance(kept_->seconds) <= distance(closing.seconds))
    return;
  kept_ = kept_step{closing.at.step + 1, closing.seconds, warm, actions_of(slices)};
}

std::string timeline::draw(const simulation& predicted) const {
  if (!kept_)
    return {};
  const schedule& order = setup_.pipeline->order;
  simulation measured = in_milliseconds(summarise(kept_->ranks));
  const simulation expected = in_milliseconds(predicted);
  if (order.asynchronous)
    measured.peak_stash = expected.peak_stash; // its actions do not show what the steps before have stashed
  const std::string cores = setup_.processors == 0
                                ? "a core for each rank"
                                : fmt::format("{} core{}", setup_.processors, setup_.processors == 1 ? "" : "s");
  const std::array<svg_block, 2> blocks{
      {{fmt::format("{}, measured: step {} of {} on {}", order.name, kept_->number, setup_.steps, cores), &order,
        &measured},
       {fmt::format("{}, predicted from the mean times of all steps, with {}", order.name, cores), &order, &expected}}};
  return draw_svg(blocks,
                  {.title = fmt::format("Timeline of {}, measured and predicted", order.name), .time_unit = "ms"});
}

std::vector<std::vector<timed_action>> actions_of(const std::vector<slice_batch>& slices) {
  double first = std::numeric_limits<double>::infinity();
  for (const slice_batch& batch : slices)
    for (const action_slice& slice : batch.slices)
      first = std::min(first, slice.start);
  std::vector<std::vector<timed_action>> ranks;
  for (const slice_batch& batch : slices) {
    std::vector<timed_action>& ran = ranks.emplace_back();
    for (const action_slice& slice : batch.slices)
      ran.push_back({slice.what, slice.start - first, slice.end - first});
  }
  return ranks;
}

} // namespace troupe
