#include "runtime/searched_plan.hpp"

#include "model/error.hpp"
#include "runtime/emulation.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe {

namespace {

/// For the one number of stages that the user's own partition has.
stage_cutter cut_as_told(const run_spec& spec, const std::vector<stage_cost>& layers) {
  const std::uint32_t told = spec.pipeline.stages * searched_chunks(spec.pipeline);
  const std::vector<layer_range> ranges =
      parse_partition(spec.pipeline.partition, static_cast<std::int64_t>(layers.size()), told);
  return [cut = stage_cut{.costs = sum_of_layers(layers, ranges), .layers = ranges},
          told](std::uint32_t stages, const std::vector<std::uint32_t>&) { return stages == told ? cut : stage_cut{}; };
}

searched_plan search_cuts(const run_spec& spec, stage_cutter cut, std::uint32_t chunks, std::uint32_t processors) {
  const pipeline_spec& pipeline = spec.pipeline;
  search_request request{.ranks = pipeline.stages,
                         .microbatches = spec.training.microbatches,
                         .chunks = chunks,
                         .memory_limit = pipeline.memory_limit,
                         .cut = std::move(cut),
                         .costs = {}};
  request.costs.processors = processors < pipeline.stages ? processors : 0;
  searched_plan result;
  result.found = search_schedule(request);
  plan& chosen = result.pipeline;
  chosen.order = result.found.found.plan;
  chosen.facts = check_schedule(chosen.order);
  chosen.gradient_groups = gradient_groups_of(spec, chosen.order.copies());
  chosen.stages = result.found.layers;
  return result;
}

/// Each stage takes what the user says it takes, whatever its layers.
stage_cutter cut_as_emulated(const run_spec& spec, std::vector<stage_cost> estimates) {
  const simulation_costs costs = parse_emulation(spec.pipeline.emulate, "pipeline.emulate").costs;
  const stage_cutter by_layers =
      spec.pipeline.partition.empty() ? cut_between_layers(std::move(estimates)) : cut_as_told(spec, estimates);
  return [costs, by_layers](std::uint32_t stages, const std::vector<std::uint32_t>&) {
    expect_stage_count(costs, stages, "pipeline.emulate");
    stage_cut cut = by_layers(stages, {});
    for (std::uint32_t stage = 0; stage < cut.costs.size(); ++stage)
      cut.costs[stage] = of_stage(costs.stages, stage);
    return cut;
  };
}

} // namespace

searched_plan search_plan(const run_spec& spec, const std::vector<stage_cost>& layers, std::uint32_t processors) {
  return search_cuts(spec, spec.pipeline.partition.empty() ? cut_between_layers(layers) : cut_as_told(spec, layers),
                     searched_chunks(spec.pipeline), processors);
}

searched_plan search_emulated_plan(const run_spec& spec, const model_family& family) {
  // To wait takes no processor.
  return search_cuts(spec, cut_as_emulated(spec, estimate_pass_costs(spec.model, family)), least_chunks(spec), 0);
}

std::vector<stage_cost> estimate_pass_costs(const model_spec& model, const model_family& family) {
  std::vector<stage_cost> costs;
  for (const double cost : estimate_layer_costs(model, family))
    costs.push_back({cost, cost, cost, 0.0});
  return costs;
}

std::vector<stage_cost> spread_over_layers(const std::vector<stage_cost>& measured,
                                           const std::vector<layer_range>& stages,
                                           const std::vector<stage_cost>& estimates) {
  TROUPE_CHECK(measured.size() == stages.size(), "one measurement a stage");
  std::vector<stage_cost> layers;
  const std::vector<stage_cost> sums = sum_of_layers(estimates, stages);
  for (std::size_t stage = 0; stage < stages.size(); ++stage)
    for (std::int64_t layer = stages[stage].first; layer < stages[stage].last; ++layer) {
      const double part = estimates[static_cast<std::size_t>(layer)].forward / sums[stage].forward;
      const stage_cost& all = measured[stage];
      layers.push_back(
          {all.forward * part, all.backward_input * part, all.backward_weight * part, all.optimizer * part});
    }
  return layers;
}

} // namespace troupe
