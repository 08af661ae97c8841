#include "runtime/schedule/simulate.hpp"

#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <algorithm>

namespace troupe {

namespace {

void expect_sizes(const schedule& plan, const simulation_costs& costs) {
  const auto fits = [&](std::size_t count) { return count == 1 || count == plan.stages(); };
  TROUPE_CHECK(fits(costs.stages.size()), "one cost, or one for each stage");
  TROUPE_CHECK(costs.sizes.empty() || fits(costs.sizes.size()), "no sizes, one, or one for each stage");
  TROUPE_CHECK(costs.links.empty() || costs.links.size() == std::size_t{plan.ranks} * plan.ranks,
               "no links, or one from each rank to each");
}

std::uint32_t peak_stash_of(const std::vector<action>& list) {
  std::uint32_t held = 0;
  std::uint32_t peak = 0;
  for (const action& one : list) {
    if (one.op == operation::forward)
      peak = std::max(peak, ++held);
    else if (one.op != operation::backward_input)
      --held;
  }
  return peak;
}

/// The most that the stashes of a rank add up to.
double peak_stash_size(const std::vector<action>& list, const std::vector<stage_size>& sizes) {
  double held = 0.0;
  double peak = 0.0;
  for (const action& one : list) {
    if (one.op == operation::forward)
      peak = std::max(peak, held += of_stage(sizes, one.stage).stash);
    else if (one.op != operation::backward_input)
      held -= of_stage(sizes, one.stage).stash;
  }
  return peak;
}

std::vector<double> peak_sizes(const schedule& plan, const simulation_costs& costs) {
  std::vector<double> peaks(plan.ranks, 0.0);
  if (costs.sizes.empty())
    return peaks;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    peaks[rank] = peak_stash_size(plan.actions[rank], costs.sizes);
  for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
    peaks[plan.rank_of_stage[stage]] += of_stage(costs.sizes, stage).weights;
  return peaks;
}

double slowest_optimizer(const schedule& plan, const simulation_costs& costs) {
  std::vector<double> times(plan.ranks, 0.0);
  for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
    times[plan.rank_of_stage[stage]] += of_stage(costs.stages, stage).optimizer;
  return *std::max_element(times.begin(), times.end());
}

} // namespace

double duration_of(const action& one, const simulation_costs& costs) {
  return pass_time(one, of_stage(costs.stages, one.stage));
}

double network::carry(const pass_result& result, std::uint32_t sender, std::uint32_t receiver, double made) {
  link_cost link{costs_.communication, costs_.bandwidth};
  if (!costs_.links.empty())
    link = costs_.links[std::size_t{sender} * plan_.ranks + receiver];
  if (link.bandwidth == 0.0 || costs_.sizes.empty())
    return made + link.latency;
  // The gradient of a stage's input is as large as the output of the stage before.
  const std::uint32_t source = result.way == direction::forward ? result.stage : result.stage - 1;
  double& free = free_[(std::uint64_t{sender} << 32U) | receiver];
  free = std::max(made, free) + of_stage(costs_.sizes, source).output / link.bandwidth;
  return free + link.latency;
}

simulation simulate(const schedule& plan, const simulation_costs& costs) {
  expect_sizes(plan, costs);
  simulation result;
  result.ranks = costs.processors == 0 ? simulate_unbounded(plan, costs) : simulate_on_processors(plan, costs);
  double all_busy = 0.0;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    const std::vector<timed_action>& ran = result.ranks[rank];
    double busy = 0.0;
    for (const timed_action& one : ran)
      busy += one.end - one.start;
    all_busy += busy;
    result.busy.push_back(busy);
    result.span.push_back(ran.empty() ? 0.0 : ran.back().end - ran.front().start);
    result.makespan = std::max(result.makespan, ran.empty() ? 0.0 : ran.back().end);
    result.peak_stash.push_back(peak_stash_of(plan.actions[rank]));
  }
  if (result.makespan > 0.0)
    result.bubble_fraction = 1.0 - all_busy / (plan.ranks * result.makespan);
  result.peak_size = peak_sizes(plan, costs);
  result.step_time = result.makespan + slowest_optimizer(plan, costs);
  return result;
}

} // namespace troupe
