#include "runtime/plan.hpp"

#include "model/error.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/schedule/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <string_view>

namespace troupe {

namespace {

/// Part of the mean layer's cost that every layer has besides its matrix products, so that an embedding is not free.
constexpr double fixed_cost_fraction = 0.01;

/// sums[j] - sums[i] is the cost of layers [i, j).
std::vector<double> running_sums(const std::vector<double>& costs) {
  std::vector<double> sums(costs.size() + 1, 0.0);
  std::partial_sum(costs.begin(), costs.end(), sums.begin() + 1);
  return sums;
}

/// The cost of the dearest run when the layers are cut as well as possible. best[j] is that for the first j layers in
/// k runs; with one run more it is min over i of max(best[i], cost of [i, j)). The first grows with i and the second
/// falls, so the minimum is where they cross. O(stages * layers * log layers).
double least_bottleneck(const std::vector<double>& sums, std::size_t stages) {
  const std::size_t layers = sums.size() - 1;
  std::vector<double> best = sums;
  for (std::size_t runs = 2; runs <= stages; ++runs)
    for (std::size_t last = layers; last >= runs; --last) {
      // i in [runs - 1, last): the first where best[i] is the larger one, or the last possible one.
      std::size_t low = runs - 1;
      std::size_t high = last - 1;
      while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (best[middle] >= sums[last] - sums[middle])
          high = middle;
        else
          low = middle + 1;
      }
      double cheapest = std::max(best[low], sums[last] - sums[low]);
      if (low > runs - 1)
        cheapest = std::min(cheapest, std::max(best[low - 1], sums[last] - sums[low - 1]));
      best[last] = cheapest;
    }
  return best[layers];
}

std::vector<layer_range> ranges_between(const std::vector<std::int64_t>& bounds) {
  std::vector<layer_range> ranges;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    ranges.push_back({bounds[i], bounds[i + 1]});
  return ranges;
}

bool is_csv(const std::string& name) {
  return name.ends_with(".csv");
}

schedule read_fitting_csv(const run_spec& spec) {
  schedule result = read_csv(spec.pipeline.schedule);
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

schedule find_schedule(const run_spec& spec) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (pipeline.schedule == "reference")
    return reference_schedule(spec);
  if (is_csv(pipeline.schedule))
    return read_fitting_csv(spec);
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
  const std::uint32_t chunks = pipeline.chunks > 0 ? pipeline.chunks : chunks_of(to_request(spec));
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
  if (spec.model.tied_head)
    throw spec_error(fmt::format("model.tied_head: found true, expected false{}", because));
}

std::vector<double> layer_costs(const model_spec& model, const model_family& family) {
  std::vector<double> costs;
  const std::int64_t layers = family.layer_count(model);
  for (std::int64_t layer = 0; layer < layers; ++layer)
    costs.push_back(family.forward_flops(model, layer));
  const double mean = std::accumulate(costs.begin(), costs.end(), 0.0) / static_cast<double>(layers);
  for (double& cost : costs)
    cost += 1.0 + fixed_cost_fraction * mean;
  return costs;
}

} // namespace

std::vector<layer_range> balance_layers(const std::vector<double>& costs, std::uint32_t stages) {
  TROUPE_CHECK(stages > 0, "a pipeline has a stage");
  if (stages > costs.size())
    throw spec_error(fmt::format("stages: found {}, expected at most {}, the number of layers", stages, costs.size()));
  const std::vector<double> sums = running_sums(costs);
  const double bottleneck = least_bottleneck(sums, stages);
  // Late stages take as many layers as the bottleneck allows: then every early stage is as short as it can be.
  std::vector<std::int64_t> bounds(std::size_t{stages} + 1, 0);
  bounds[stages] = static_cast<std::int64_t>(costs.size());
  for (std::int64_t stage = std::int64_t{stages} - 1; stage > 0; --stage) {
    const double end = sums[static_cast<std::size_t>(bounds[stage + 1])];
    std::int64_t first = bounds[stage + 1] - 1;
    while (first > stage && end - sums[static_cast<std::size_t>(first - 1)] <= bottleneck)
      --first;
    bounds[stage] = first;
  }
  return ranges_between(bounds);
}

std::vector<layer_range> parse_partition(const std::string& text, std::int64_t layers, std::uint32_t stages) {
  const auto refuse = [&](const std::string& why) {
    throw spec_error(fmt::format("pipeline.partition: found '{}'{}, expected {} positive numbers that add up to {}",
                                 text, why, stages, layers));
  };
  std::vector<std::int64_t> bounds{0};
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int64_t size = 0;
    const auto [stop, status] = std::from_chars(at, end, size);
    if (status != std::errc() || size <= 0 || (stop != end && *stop != ','))
      refuse("");
    if (size > layers - bounds.back())
      refuse(", which adds up to more");
    bounds.push_back(bounds.back() + size);
    if (stop == end)
      break;
    at = stop + 1;
  }
  if (bounds.size() - 1 != stages)
    refuse(fmt::format(", which has {}", bounds.size() - 1));
  if (bounds.back() != layers)
    refuse(fmt::format(", which adds up to {}", bounds.back()));
  return ranges_between(bounds);
}

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

plan make_plan(const run_spec& spec, const model_family& family) {
  family.validate(spec.model);
  const std::int64_t layers = family.layer_count(spec.model);
  check_stage_count(spec, layers);
  plan result;
  result.order = find_schedule(spec);
  result.facts = check_schedule(result.order);
  if (result.order.asynchronous)
    check_asynchronous(spec);
  result.gradient_groups = find_gradient_groups(spec, result.order);
  const std::uint32_t stages = result.order.stages();
  const bool balanced = spec.pipeline.partition.empty() || spec.pipeline.schedule == "reference";
  result.stages = balanced ? balance_layers(layer_costs(spec.model, family), stages)
                           : parse_partition(spec.pipeline.partition, layers, stages);
  return result;
}

} // namespace troupe
