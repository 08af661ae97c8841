// Measures what a model's layers take on this machine, by training it for a moment.
#pragma once

#include "runtime/data.hpp"
#include "runtime/report.hpp"
#include "runtime/run_options.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace troupe {

struct layer_profile {
  std::vector<stage_cost> layers; ///< seconds of a layer's passes over one microbatch
  std::uint32_t processors = 0;   ///< how many ranks the machine runs at once
};

/// Runs a pipeline: run_pipeline, or run_distributed over some workers.
using pipeline_runner =
    std::function<run_report(const run_spec& spec, const data_source& data, const run_options& options)>;

/// Trains `spec`'s model for three steps of a few microbatches, over its ranks, and throws the result away: no
/// checkpoint, no validation, no output. Of `options` it takes family and interrupts. Nothing when the user interrupted
/// it. Throws as `run` does. `processors`: how many ranks can run at once; 0: all.
std::optional<layer_profile> profile_layers(const run_spec& spec, const data_source& data, const run_options& options,
                                            const pipeline_runner& run, std::uint32_t processors);
/// The same in this process.
std::optional<layer_profile> profile_layers(const run_spec& spec, const data_source& data, const run_options& options);

} // namespace troupe
