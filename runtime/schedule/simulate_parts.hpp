// What both ways of simulating share: how long an action takes, and when its result arrives. Internal to the simulator.
#pragma once

#include "runtime/schedule/needs.hpp"
#include "runtime/schedule/simulate.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

namespace troupe {

/// By rank, in order.
using timed_lists = std::vector<std::vector<timed_action>>;

/// The cost of `stage` where there is one for each stage or a single one for all.
template <class Cost>
const Cost& of_stage(const std::vector<Cost>& costs, std::uint32_t stage) {
  return costs[costs.size() == 1 ? 0 : stage];
}

inline double pass_time(const action& one, const stage_cost& cost) {
  switch (one.op) {
  case operation::forward:
    return cost.forward;
  case operation::backward_input:
    return cost.backward_input;
  case operation::backward_weight:
    return cost.backward_weight;
  case operation::backward:
    break;
  }
  return cost.backward_input + cost.backward_weight;
}

/// The links between the ranks. A link's results must be handed over in the order in which they were made; as each rank
/// makes one after the other, that is the order of its list.
class network {
public:
  network(const schedule& plan, const simulation_costs& costs)
      : plan_(plan), costs_(costs), alike_(costs.links.empty() && costs.bandwidth == 0.0) {}

  /// When `result`, made at `made` by `sender`, is there for `receiver`.
  double arrival(const pass_result& result, std::uint32_t sender, std::uint32_t receiver, double made) {
    if (sender == receiver)
      return made;
    return alike_ ? made + costs_.communication : carry(result, sender, receiver, made);
  }

private:
  double carry(const pass_result& result, std::uint32_t sender, std::uint32_t receiver, double made);

  const schedule& plan_;
  const simulation_costs& costs_;
  bool alike_;                                     ///< all links take the same for all results
  std::unordered_map<std::uint64_t, double> free_; ///< when a link is, by sender and receiver
};

/// The results that exist, and when each is there for the stage that takes it.
class arrivals {
public:
  arrivals(const schedule& plan, const simulation_costs& costs)
      : plan_(plan), network_(plan, costs), times_(plan.stages(), plan.microbatches, not_yet) {}

  /// When `one` may start on a rank that is free from `free` on; nothing while its input does not exist. What it takes
  /// from its own stage came earlier in the same list.
  std::optional<double> earliest_start(const action& one, double free) const {
    const auto input = taken_from_neighbour(one, plan_.stages());
    if (!input)
      return free;
    return times_[*input] == not_yet ? std::nullopt : std::optional(std::max(free, times_[*input]));
  }

  /// `giver` has made `given`. The rank that takes it, if any.
  std::optional<std::uint32_t> add(const pass_result& given, std::uint32_t giver, double made) {
    const auto taker = taker_of(given, plan_.stages());
    if (!taker)
      return std::nullopt;
    const std::uint32_t rank = plan_.rank_of(*taker, given.microbatch);
    times_[given] = network_.arrival(given, giver, rank, made);
    return rank;
  }

  /// Whether `one` takes `given`.
  bool takes(const action& one, const pass_result& given) const {
    return taken_from_neighbour(one, plan_.stages()) == given;
  }

private:
  static constexpr double not_yet = -1.0;

  const schedule& plan_;
  network network_;
  result_table<double> times_;
};

/// Each rank has a processor of its own, so that ranks only wait for results.
timed_lists simulate_unbounded(const schedule& plan, const simulation_costs& costs);

/// Ranks share `costs.processors`.
timed_lists simulate_on_processors(const schedule& plan, const simulation_costs& costs);

} // namespace troupe
