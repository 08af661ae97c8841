#include "runtime/schedule/simulate.hpp"

#include "model/error.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

void expect_sizes(const schedule& plan, const simulation_costs& costs) {
  const auto fits = [&](std::size_t count) { return count == 1 || count == plan.stages(); };
  TROUPE_CHECK(fits(costs.stages.size()), "one cost, or one for each stage");
  TROUPE_CHECK(costs.sizes.empty() || fits(costs.sizes.size()), "no sizes, one, or one for each stage");
  TROUPE_CHECK(costs.links.empty() || costs.links.size() == std::size_t{plan.ranks} * plan.ranks,
               "no links, or one from each rank to each");
}

std::uint32_t peak_stash_of(const std::vector<timed_action>& ran) {
  std::uint32_t held = 0;
  std::uint32_t peak = 0;
  for (const timed_action& one : ran) {
    if (one.what.op == operation::forward)
      peak = std::max(peak, ++held);
    else if (one.what.op != operation::backward_input && held > 0)
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
  for (const std::vector<std::uint32_t>& placement : plan.placements)
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      peaks[placement[stage]] += of_stage(costs.sizes, stage).weights;
  return peaks;
}

double slowest_optimizer(const schedule& plan, const simulation_costs& costs) {
  std::vector<double> times(plan.ranks, 0.0);
  for (const std::vector<std::uint32_t>& placement : plan.placements)
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      times[placement[stage]] += of_stage(costs.stages, stage).optimizer;
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

simulation summarise(std::vector<std::vector<timed_action>> ranks) {
  simulation result;
  double all_busy = 0.0;
  for (const std::vector<timed_action>& ran : ranks) {
    double busy = 0.0;
    for (const timed_action& one : ran)
      busy += one.end - one.start;
    all_busy += busy;
    result.busy.push_back(busy);
    result.span.push_back(ran.empty() ? 0.0 : ran.back().end - ran.front().start);
    result.makespan = std::max(result.makespan, ran.empty() ? 0.0 : ran.back().end);
    result.peak_stash.push_back(peak_stash_of(ran));
  }
  if (result.makespan > 0.0)
    result.bubble_fraction = 1.0 - all_busy / (static_cast<double>(ranks.size()) * result.makespan);
  result.ranks = std::move(ranks);
  return result;
}

simulation simulate(const schedule& plan, const simulation_costs& costs) {
  expect_sizes(plan, costs);
  simulation result =
      summarise(costs.processors == 0 ? simulate_unbounded(plan, costs) : simulate_on_processors(plan, costs));
  result.peak_size = peak_sizes(plan, costs);
  result.step_time = result.makespan + slowest_optimizer(plan, costs);
  return result;
}

simulation simulate_joined_step(const schedule& plan, const simulation_costs& costs) {
  constexpr std::uint32_t before = 3; // steps until each one takes as long as the one before
  const simulation all = simulate(unrolled(plan, before + 2), costs);
  timed_lists ranks;
  double begin = all.makespan;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    const std::size_t length = plan.actions[rank].size();
    const std::size_t first = before * length + plan.asynchronous->ahead[rank];
    const auto from = all.ranks[rank].begin() + static_cast<std::ptrdiff_t>(first);
    ranks.emplace_back(from, from + static_cast<std::ptrdiff_t>(length));
    begin = std::min(begin, from->start);
  }
  for (std::vector<timed_action>& ran : ranks)
    for (timed_action& one : ran)
      one = {
          {one.what.stage, one.what.op, one.what.microbatch % plan.microbatches}, one.start - begin, one.end - begin};
  simulation result = summarise(std::move(ranks));
  result.bubble_fraction = simulate_steady_step(plan, costs).bubble_fraction;
  result.peak_stash = all.peak_stash;
  return result;
}

steady_step simulate_steady_step(const schedule& plan, const simulation_costs& costs) {
  if (!plan.asynchronous) {
    const simulation whole = simulate(plan, costs);
    return {whole.makespan, whole.bubble_fraction};
  }
  constexpr std::uint32_t ramp = 3; // steps until each one takes as long as the one before
  const simulation shorter = simulate(unrolled(plan, ramp), costs);
  const simulation longer = simulate(unrolled(plan, ramp + 1), costs);
  const double seconds = longer.makespan - shorter.makespan;
  double busy = 0.0;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    busy += longer.busy[rank] - shorter.busy[rank];
  return {seconds, seconds > 0.0 ? 1.0 - busy / (plan.ranks * seconds) : 0.0};
}

} // namespace troupe
