// What both ways of simulating share: how long an action takes, and when its result arrives. Internal to the simulator.
#pragma once

#include "runtime/schedule/needs.hpp"
#include "runtime/schedule/simulate.hpp"

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

/// Each rank has a processor of its own, so that ranks only wait for results.
timed_lists simulate_unbounded(const schedule& plan, const simulation_costs& costs);

/// Ranks share `costs.processors`.
timed_lists simulate_on_processors(const schedule& plan, const simulation_costs& costs);

} // namespace troupe
