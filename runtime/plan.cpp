#include "runtime/plan.hpp"

#include "model/error.hpp"
#include "runtime/emulation.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/searched_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

namespace {

schedule read_fitting_csv(const run_spec& spec, csv_notes& notes) {
  schedule result = read_csv(spec.pipeline.schedule, &notes);
  const auto require = [&](std::uint64_t found, std::uint64_t expected, const char* what, const char* field) {
    if (found != expected)
      throw spec_error(
          fmt::format("{}: found {} {}, expected {}, which is {}", result.name, found, what, expected, field));
  };
  const pipeline_spec& pipeline = spec.pipeline;
  require(result.ranks, pipeline.stages, "ranks", "pipeline.stages");
  if (pipeline.chunks > 0)
    require(result.stages(), std::uint64_t{pipeline.stages} * pipeline.chunks, "stages",
            "pipeline.stages * pipeline.chunks");
  require(result.microbatches, spec.training.microbatches, "microbatches", "training.microbatches");
  return result;
}

/// The reference trainer runs no list; gpipe's on one rank stands for it.
schedule reference_schedule(const run_spec& spec) {
  schedule result = generate_schedule({"gpipe", 1, spec.training.microbatches, 1});
  result.name = "reference";
  return result;
}

schedule find_schedule(const run_spec& spec, csv_notes& notes) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (pipeline.schedule == "reference")
    return reference_schedule(spec);
  if (is_csv(pipeline.schedule))
    return read_fitting_csv(spec, notes);
  return generate_schedule(to_request(spec));
}

/// The spec's number, or what the schedule needs. With two copies each sums one group, and the step ends with their
/// sum.
std::uint32_t find_gradient_groups(const run_spec& spec, const schedule& order) {
  const std::uint32_t groups = gradient_groups_of(spec, order.copies());
  if (order.copies() > 1 && groups != order.copies())
    throw spec_error(fmt::format("training.gradient_groups: found {}, expected {}, one for each copy of the model that "
                                 "schedule '{}' has",
                                 groups, order.copies(), order.name));
  return groups;
}

/// Before anything is built; of a file with chunks left open it is known only after reading.
void check_stage_count(const run_spec& spec, std::int64_t layers) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (pipeline.schedule == "reference" || (is_csv(pipeline.schedule) && pipeline.chunks == 0))
    return;
  const std::uint32_t chunks = least_chunks(spec);
  const std::uint64_t stages = std::uint64_t{pipeline.stages} * chunks;
  if (stages <= static_cast<std::uint64_t>(layers))
    return;
  const std::string found = chunks == 1 ? fmt::format("pipeline.stages: found {}", stages)
                                        : fmt::format("pipeline.stages * pipeline.chunks: found {} * {} = {}",
                                                      pipeline.stages, chunks, stages);
  throw spec_error(
      fmt::format("{}, expected at most {}, the layers that model.layers = {} has with its embedding and head", found,
                  layers, spec.model.layers));
}

/// Updates that wait for nobody leave no moment at which all stages have the same step's gradients.
void check_asynchronous(const run_spec& spec) {
  const std::string because =
      fmt::format(", because the stages of '{}' update without waiting for each other", spec.pipeline.schedule);
  if (spec.optimizer.clip != 0.0)
    throw spec_error(fmt::format("optimizer.clip: found {}, expected 0 (no clipping by the norm of all gradients){}",
                                 spec.optimizer.clip, because));
  if (spec.training.gradient_groups > 1)
    throw spec_error(
        fmt::format("training.gradient_groups: found {}, expected 1{}", spec.training.gradient_groups, because));
  if (spec.pipeline.dispatch != dispatch_mode::fixed)
    throw spec_error(fmt::format("pipeline.dispatch: found reactive, expected static{}", because));
  if (spec.faults.on_nan == nan_rule::skip)
    throw spec_error(fmt::format("faults.on_nan: found skip, expected stop{}", because));
  if (spec.model.tied_head)
    throw spec_error(fmt::format("model.tied_head: found true, expected false{}", because));
}

/// Reactive ranks may hold as much as the limit says, whatever the list's own peaks are.
void raise_peaks(const pipeline_spec& pipeline, plan& to) {
  const std::uint32_t limit = pipeline.memory_limit;
  if (pipeline.dispatch != dispatch_mode::reactive)
    throw spec_error(
        fmt::format("pipeline.memory_limit: found {}, expected 0, as pipeline.schedule is {} and pipeline.dispatch "
                    "static: only auto and reactive ranks have a choice to limit",
                    limit, pipeline.schedule));
  const std::uint32_t chunks = to.order.stages() * to.order.copies() / to.order.ranks;
  for (std::uint32_t rank = 0; rank < to.order.ranks; ++rank) {
    std::uint32_t& peak = to.facts.peak_by_rank[rank];
    if (peak > limit * chunks)
      throw spec_error(fmt::format("pipeline.memory_limit: found {}, expected at least {}, as rank {} of {} holds {} "
                                   "microbatches of one of its {} stages at once",
                                   limit, (peak + chunks - 1) / chunks, rank, pipeline.schedule, peak, chunks));
    peak = limit * chunks;
  }
  for (std::uint32_t& peak : to.facts.peak_by_stage)
    peak = std::max(peak, std::min(limit * chunks, to.order.microbatches));
}

} // namespace

std::vector<std::uint32_t> plan::stages_of(std::uint32_t rank) const {
  std::vector<std::uint32_t> owned;
  for (std::uint32_t stage = 0; stage < order.stages(); ++stage)
    if (std::ranges::any_of(order.placements, [&](const auto& placement) { return placement[stage] == rank; }))
      owned.push_back(stage);
  return owned;
}

schedule_request to_request(const run_spec& spec) {
  const pipeline_spec& pipeline = spec.pipeline;
  return {.name = pipeline.schedule,
          .ranks = pipeline.stages,
          .microbatches = spec.training.microbatches,
          .chunks = pipeline.chunks,
          .group_size = pipeline.group_size,
          .waves = pipeline.waves};
}

std::uint32_t searched_chunks(const pipeline_spec& pipeline) {
  if (pipeline.chunks > 0 || pipeline.partition.empty())
    return pipeline.chunks;
  return std::max(1U, stages_in(pipeline.partition) / pipeline.stages); // what does not fit is refused as a partition
}

std::uint32_t least_chunks(const run_spec& spec) {
  if (spec.pipeline.schedule == searched_schedule_name)
    return std::max(1U, searched_chunks(spec.pipeline));
  return spec.pipeline.chunks > 0 ? spec.pipeline.chunks : chunks_of(to_request(spec));
}

plan make_plan(const run_spec& spec, const model_family& family) {
  family.validate(spec.model);
  const std::int64_t layers = family.layer_count(spec.model);
  check_stage_count(spec, layers);
  if (spec.pipeline.schedule == searched_schedule_name)
    return spec.pipeline.emulated() ? search_emulated_plan(spec, family).pipeline
                                    : search_plan(spec, estimate_pass_costs(spec.model, family), 0).pipeline;
  plan result;
  result.order = find_schedule(spec, result.notes);
  result.facts = check_schedule(result.order);
  if (spec.pipeline.memory_limit > 0 && spec.pipeline.schedule != "reference")
    raise_peaks(spec.pipeline, result);
  if (result.order.asynchronous)
    check_asynchronous(spec);
  result.gradient_groups = find_gradient_groups(spec, result.order);
  if (spec.pipeline.emulated())
    expect_stage_count(parse_emulation(spec.pipeline.emulate, "pipeline.emulate").costs, result.order.stages(),
                       "pipeline.emulate");
  const std::uint32_t stages = result.order.stages();
  const bool balanced = spec.pipeline.partition.empty() || spec.pipeline.schedule == "reference";
  result.stages = balanced ? balance_layers(estimate_layer_costs(spec.model, family), stages)
                           : parse_partition(spec.pipeline.partition, layers, stages);
  return result;
}

} // namespace troupe
