#include "model/error.hpp"
#include "runtime/running_median.hpp"
#include "runtime/timeline.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/svg_picture.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace troupe;
using namespace troupe::test;
using Catch::Contains;

namespace {

/// gpipe on two ranks with one microbatch.
plan small_plan() {
  plan result;
  result.order = generate_schedule({"gpipe", 2, 1, 1});
  return result;
}

/// The slices of a step whose passes take `unit` seconds each and which begins at `start`.
std::vector<slice_batch> slices_of(std::uint64_t step, double start, double unit) {
  const step_id at{step, pass_mode::train};
  const auto ran = [&](std::uint32_t stage, operation op, double first) {
    return action_slice{{stage, op, 0}, start + first * unit, start + (first + 1.0) * unit};
  };
  slice_batch upper{.at = at, .slices = {ran(0, operation::forward, 0.0), ran(0, operation::backward, 3.0)}};
  slice_batch lower{.at = at, .slices = {ran(1, operation::forward, 1.0), ran(1, operation::backward, 2.0)}};
  upper.rank = 0;
  lower.rank = 1;
  return {upper, lower};
}

/// The picture after steps that took this many seconds, the k-th with passes of k ms.
std::string picture_of(const std::vector<double>& seconds, std::uint64_t warmup) {
  const plan pipeline = small_plan();
  timeline kept({&pipeline, seconds.size(), warmup, 2});
  for (std::size_t step = 0; step < seconds.size(); ++step)
    kept.add({.at = {step, pass_mode::train}, .seconds = seconds[step]},
             slices_of(step, 100.0 * static_cast<double>(step), 1e-3 * static_cast<double>(step + 1)));
  return kept.draw(simulate(pipeline.order, {{{2e-3, 1e-3, 1e-3}}}));
}

} // namespace

TEST_CASE("the running median is the middle one of what was added, in whatever order") {
  std::vector<double> values{5, 1, 4, 4, 9, 0, 7, 3, 8, 2, 6};
  running_median median;
  std::vector<double> sorted;
  for (const double value : values) {
    median.add(value);
    sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), value), value);
    CHECK(median.value() == sorted[(sorted.size() - 1) / 2]);
  }
}

TEST_CASE("the timeline shows the step of median time after the warm-up") {
  CHECK_THAT(picture_of({9, 9, 1, 5, 3, 4, 2}, 2), Contains("gpipe, measured: step 5 of 7 on 2 cores"));
  CHECK_THAT(picture_of({3, 9, 9, 9, 1, 1}, 0), !Contains("measured: step 1 of 6"));
}

TEST_CASE("a run that ends during its warm-up shows its last step") {
  CHECK_THAT(picture_of({1, 2, 3}, 5), Contains("measured: step 3 of 3"));
}

TEST_CASE("the timeline's times are milliseconds from the step's first action on, above the predicted ones") {
  const std::string svg = picture_of({1, 1}, 1);
  std::vector<std::string> found;
  for (const svg_box& box : boxes_of(svg))
    found.push_back(box.tooltip);
  CHECK(found == std::vector<std::string>{"0F0: 0 to 2 ms", "0B0: 6 to 8 ms", "1F0: 2 to 4 ms", "1B0: 4 to 6 ms",
                                          "0F0: 0 to 2 ms", "0B0: 6 to 8 ms", "1F0: 2 to 4 ms", "1B0: 4 to 6 ms"});
  CHECK_THAT(svg, Contains("makespan 8 ms, bubble 50.0 %, peak stash 1 microbatch<"));
}

TEST_CASE("a timeline without a step is empty") {
  CHECK(picture_of({}, 1).empty());
}

TEST_CASE("a plan that is too large for a picture is refused before anything runs") {
  plan large;
  large.order = generate_schedule({"gpipe", 1, 5001, 1});
  CHECK_THAT(error_text<spec_error>([&] { timeline({&large, 1, 0, 0}); }), Contains("found 20004 actions"));
}
