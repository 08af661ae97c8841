// The cuts between stages where they are part of the arithmetic: with pipeline.wire bf16 all that crosses one is
// rounded, whether the two stages are on one rank or on two machines, so that the result depends on the cuts alone.
#pragma once

#include "model/tensor.hpp"
#include "runtime/partition.hpp"
#include "runtime/run_spec.hpp"

#include <optional>
#include <vector>

namespace troupe {

/// What the next stage gets of an activation, or the one before of a gradient. May write to `values` when nobody else
/// holds them.
tensor across_cut(tensor values, wire_precision wire, tensor_pool& pool);

/// The layers of each stage, as far as the spec alone says: by pipeline.partition, or balanced. Nothing where the plan
/// decides: of auto, and of a file, unless partition or chunks say. Throws spec_error when the spec is not valid.
std::optional<std::vector<layer_range>> cuts_of(const run_spec& spec, const model_family& family);

/// Where a reference trainer of the spec rounds: with bf16 between the stages that pipeline.partition names, whatever
/// their number, or else between pipeline.stages * max(pipeline.chunks, 1) balanced ones; otherwise nowhere, and all
/// layers are one stage. Throws spec_error.
std::vector<layer_range> reference_cuts(const run_spec& spec, const model_family& family);

/// Settles pipeline.partition for the report and for checkpoints when the cuts are part of the arithmetic.
void note_cuts(run_spec& spec, const std::vector<layer_range>& stages);

} // namespace troupe
