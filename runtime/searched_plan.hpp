// The plan of a run whose schedule is searched: from what each layer takes to schedule and partition.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/schedule/search/search.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

struct searched_plan {
  plan pipeline;
  search_result found;
};

/// Searches for `spec`, whose pipeline.schedule is auto, a partition (unless it names one) and a schedule. `layers`:
/// the times of each layer's passes over one microbatch, in any unit. `processors`: how many ranks can compute at once;
/// 0: all. Throws spec_error.
searched_plan search_plan(const run_spec& spec, const std::vector<stage_cost>& layers, std::uint32_t processors);

/// The same for emulated passes, whose times are those of stages however the model is cut: with the spec's chunks, or
/// one stage a rank. Layers are shared out by their estimates. Throws spec_error.
searched_plan search_emulated_plan(const run_spec& spec, const model_family& family);

/// Layers' costs when nothing has been measured: by their matrix products, of which I and W have as many as F each.
std::vector<stage_cost> estimate_pass_costs(const model_spec& model, const model_family& family);

/// Gives each layer its part of what its stage was measured to take: stages[i] took `measured[i]` and has the layers of
/// `stages[i]`, which share it in proportion to their estimates.
std::vector<stage_cost> spread_over_layers(const std::vector<stage_cost>& measured,
                                           const std::vector<layer_range>& stages,
                                           const std::vector<stage_cost>& estimates);

} // namespace troupe
