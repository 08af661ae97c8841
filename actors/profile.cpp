#include "actors/profile.hpp"

#include "actors/run.hpp"
#include "runtime/searched_plan.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The journal leaves out the first step, which touches all memory for the first time.
constexpr std::uint64_t profiled_steps = 3;
constexpr std::uint32_t most_microbatches = 4;

/// zb-h1 has one stage a rank and runs I and W apart, so that each is measured.
run_spec to_profiled(run_spec spec) {
  spec.pipeline.schedule = "zb-h1";
  spec.pipeline.chunks = 0;
  spec.pipeline.memory_limit = 0;
  spec.pipeline.partition.clear();
  spec.pipeline.dispatch = dispatch_mode::fixed;
  spec.training.steps = profiled_steps;
  spec.training.stop_after = 0;
  spec.training.gradient_groups = 1;
  spec.training.microbatches = std::min(spec.training.microbatches, most_microbatches);
  spec.validation.every = 0;
  spec.checkpoint = {};
  spec.faults.chaos.clear();
  return spec;
}

} // namespace

std::optional<layer_profile> profile_layers(const run_spec& spec, const data_source& data, const run_options& options,
                                            const pipeline_runner& run, std::uint32_t processors) {
  const run_spec profiled = to_profiled(spec);
  run_options quiet;
  quiet.family = options.family;
  quiet.interrupts = options.interrupts;
  const run_report report = run(profiled, data, quiet);
  if (report.interrupted || (options.interrupts != nullptr && *options.interrupts > 0))
    return std::nullopt;
  const model_family& family = options.family != nullptr ? *options.family : find_family(spec.model.family);
  std::vector<stage_cost> measured;
  std::vector<layer_range> stages;
  for (const stage_report& one : report.stages) {
    measured.push_back(one.seconds);
    stages.push_back(one.layers);
  }
  return layer_profile{spread_over_layers(measured, stages, estimate_pass_costs(spec.model, family)), processors};
}

std::optional<layer_profile> profile_layers(const run_spec& spec, const data_source& data, const run_options& options) {
  return profile_layers(spec, data, options, run_pipeline, usable_processors());
}

} // namespace troupe
