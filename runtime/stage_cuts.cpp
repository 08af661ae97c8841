#include "runtime/stage_cuts.hpp"

#include "model/bfloat16.hpp"
#include "runtime/plan.hpp"
#include "runtime/schedule/csv.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace troupe {

namespace {

std::vector<layer_range> named(const run_spec& spec, const model_family& family) {
  const std::string& text = spec.pipeline.partition;
  return parse_partition(text, family.layer_count(spec.model), stages_in(text));
}

std::vector<layer_range> balanced(const run_spec& spec, const model_family& family, std::uint32_t stages) {
  return balance_layers(estimate_layer_costs(spec.model, family), stages);
}

} // namespace

tensor across_cut(tensor values, wire_precision wire, tensor_pool& pool) {
  return wire == wire_precision::bf16 ? rounded_to_bfloat16(std::move(values), pool) : values;
}

std::optional<std::vector<layer_range>> cuts_of(const run_spec& spec, const model_family& family) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (pipeline.schedule == "reference")
    return reference_cuts(spec, family);
  if (!pipeline.partition.empty())
    return named(spec, family);
  if (pipeline.schedule == searched_schedule_name || (is_csv(pipeline.schedule) && pipeline.chunks == 0))
    return std::nullopt;
  return balanced(spec, family, pipeline.stages * least_chunks(spec));
}

std::vector<layer_range> reference_cuts(const run_spec& spec, const model_family& family) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (pipeline.wire == wire_precision::fp32)
    return {{0, family.layer_count(spec.model)}};
  return pipeline.partition.empty() ? balanced(spec, family, pipeline.stages * std::max(pipeline.chunks, 1U))
                                    : named(spec, family);
}

void note_cuts(run_spec& spec, const std::vector<layer_range>& stages) {
  if (spec.pipeline.wire == wire_precision::bf16)
    spec.pipeline.partition = partition_text(stages);
}

} // namespace troupe
