#include "runtime/schedule/search/stage_cuts.hpp"

#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <utility>

namespace troupe {

stage_cutter cut_evenly(stage_cut whole, std::uint32_t parts) {
  TROUPE_CHECK(whole.costs.size() == 1 || whole.costs.size() == parts, "one cost, or one for each part");
  return [whole = std::move(whole), parts](std::uint32_t stages) {
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
  return [layers = std::move(layers)](std::uint32_t stages) {
    stage_cut cut;
    if (stages <= layers.size())
      cut.costs = sum_of_layers(layers, balance_layers(total_costs(layers), stages));
    return cut;
  };
}

std::vector<stage_cost> sum_of_layers(const std::vector<stage_cost>& layers, const std::vector<layer_range>& stages) {
  std::vector<stage_cost> sums;
  for (const layer_range& range : stages) {
    stage_cost& sum = sums.emplace_back(0.0, 0.0, 0.0, 0.0);
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
  for (const stage_cost& layer : layers)
    totals.push_back(layer.forward + layer.backward_input + layer.backward_weight);
  return totals;
}

} // namespace troupe
