#include "runtime/network/run_limits.hpp"

#include "runtime/training_state.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// Of what is no tensor: reports, slices and digests of one rank's step.
constexpr std::uint64_t record_bytes = std::uint64_t{64} << 20;

} // namespace

wire_limits limits_of(const run_spec& spec, const model_family& family, const plan& pipeline) {
  const auto bytes_of = [](const shape& extents) { return static_cast<std::uint64_t>(extents.size()) * sizeof(float); };
  const std::int64_t sequences = spec.training.microbatch_size;
  const std::uint64_t with_state = 1 + snapshot_state_names(spec.optimizer, pipeline.order).size();
  wire_limits limits{.message_bytes = std::max(bytes_of(family.activation_shape(spec.model, sequences)),
                                               static_cast<std::uint64_t>(sequences * spec.model.sequence_length) *
                                                   sizeof(std::int32_t)),
                     .tensors = 1,
                     .record_bytes = record_bytes,
                     .workers = most_workers,
                     .ranks = pipeline.ranks(),
                     .stages = pipeline.order.stages(),
                     .layers = static_cast<std::uint32_t>(family.layer_count(spec.model))};
  for (const layer_range& stage : pipeline.stages) {
    std::uint64_t stage_bytes = 0;
    std::uint64_t stage_parameters = 0;
    for (std::int64_t index = stage.first; index < stage.last; ++index) {
      const layer_ptr one = family.make_layer(spec.model, index);
      std::uint64_t layer_bytes = 0;
      const std::vector<parameter*> parameters = parameters_of(*one);
      for (const parameter* p : parameters)
        layer_bytes += bytes_of(p->extents);
      stage_bytes += layer_bytes;
      stage_parameters += parameters.size();
      limits.message_bytes = std::max(limits.message_bytes, layer_bytes * with_state);
      limits.tensors = std::max<std::uint64_t>(limits.tensors, parameters.size() * with_state);
    }
    if (pipeline.order.copies() > 1) { // group gradients travel a stage at a time
      limits.message_bytes = std::max(limits.message_bytes, stage_bytes);
      limits.tensors = std::max(limits.tensors, stage_parameters);
    }
  }
  return limits;
}

} // namespace troupe
