#include "runtime/schedule/search/stage_cuts.hpp"

#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <algorithm>
#include <compare>
#include <utility>

namespace troupe {

namespace {

/// The dearest rank, and of equal ones the cut whose ranks differ least.
struct imbalance {
  double largest = 0.0;
  double sum_of_squares = 0.0;

  friend auto operator<=>(const imbalance&, const imbalance&) = default;
};

imbalance imbalance_of(const std::vector<double>& costs, const std::vector<std::uint32_t>& rank_of_stage,
                       const std::vector<layer_range>& stages) {
  std::vector<double> work(stages.size(), 0.0); // there are no more ranks than stages
  for (std::size_t stage = 0; stage < stages.size(); ++stage)
    for (std::int64_t layer = stages[stage].first; layer < stages[stage].last; ++layer)
      work[rank_of_stage[stage]] += costs[static_cast<std::size_t>(layer)];
  imbalance result;
  for (const double one : work) {
    result.largest = std::max(result.largest, one);
    result.sum_of_squares += one * one;
  }
  return result;
}

/// Moves a layer over a boundary between two stages as long as that makes the ranks more equal. There are few layers.
void balance_ranks(const std::vector<double>& costs, const std::vector<std::uint32_t>& rank_of_stage,
                   std::vector<layer_range>& stages) {
  imbalance least = imbalance_of(costs, rank_of_stage, stages);
  const auto try_move = [&](std::size_t stage, std::int64_t by) {
    std::vector<layer_range> moved = stages;
    moved[stage].last += by;
    moved[stage + 1].first += by;
    if (moved[stage].size() < 1 || moved[stage + 1].size() < 1)
      return false;
    const imbalance now = imbalance_of(costs, rank_of_stage, moved);
    if (now >= least)
      return false;
    least = now;
    stages = std::move(moved);
    return true;
  };
  for (bool better = true; better;) {
    better = false;
    for (std::size_t stage = 0; stage + 1 < stages.size(); ++stage)
      while (try_move(stage, 1) || try_move(stage, -1))
        better = true;
  }
}

} // namespace

stage_cutter cut_evenly(stage_cut whole, std::uint32_t parts) {
  TROUPE_CHECK(whole.costs.size() == 1 || whole.costs.size() == parts, "one cost, or one for each part");
  return [whole = std::move(whole), parts](std::uint32_t stages, const std::vector<std::uint32_t>&) {
    stage_cut cut;
    if (stages % parts != 0)
      return cut;
    const std::uint32_t pieces = stages / parts;
    for (std::uint32_t stage = 0; stage < stages; ++stage) {
      const stage_cost& cost = of_stage(whole.costs, stage / pieces);
      cut.costs.push_back({cost.forward / pieces, cost.backward_input / pieces, cost.backward_weight / pieces,
                           cost.optimizer / pieces});
      if (whole.sizes.empty())
        continue;
      const stage_size& size = of_stage(whole.sizes, stage / pieces);
      cut.sizes.push_back({size.weights / pieces, size.stash / pieces, size.output});
    }
    return cut;
  };
}

stage_cutter cut_between_layers(std::vector<stage_cost> layers) {
  return [layers = std::move(layers)](std::uint32_t stages, const std::vector<std::uint32_t>& rank_of_stage) {
    stage_cut cut;
    if (stages > layers.size())
      return cut;
    const std::vector<double> totals = total_costs(layers);
    cut.layers = balance_layers(totals, stages);
    if (!rank_of_stage.empty())
      balance_ranks(totals, rank_of_stage, cut.layers);
    cut.costs = sum_of_layers(layers, cut.layers);
    return cut;
  };
}

std::vector<stage_cost> sum_of_layers(const std::vector<stage_cost>& layers, const std::vector<layer_range>& stages) {
  std::vector<stage_cost> sums;
  for (const layer_range& range : stages) {
    sums.push_back({0.0, 0.0, 0.0, 0.0});
    stage_cost& sum = sums.back();
    for (std::int64_t layer = range.first; layer < range.last; ++layer) {
      const stage_cost& one = layers[static_cast<std::size_t>(layer)];
      sum.forward += one.forward;
      sum.backward_input += one.backward_input;
      sum.backward_weight += one.backward_weight;
      sum.optimizer += one.optimizer;
    }
  }
  return sums;
}

std::vector<double> total_costs(const std::vector<stage_cost>& layers) {
  std::vector<double> totals;
  totals.reserve(layers.size());
  for (const stage_cost& layer : layers)
    totals.push_back(layer.forward + layer.backward_input + layer.backward_weight);
  return totals;
}

} // namespace troupe
