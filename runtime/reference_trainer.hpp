// The reference trainer: one thread, no schedule, no actors; plain loops over steps, microbatches and layers. What it
// computes defines what every pipeline must compute, bit for bit.
#pragma once

#include "runtime/data.hpp"
#include "runtime/run_options.hpp"
#include "runtime/run_spec.hpp"

namespace troupe {

/// Trains as `wanted` says; of its pipeline section it uses threads_per_stage, recomputation and wire, and
/// where it rounds the cuts (see reference_cuts). Throws any troupe::error.
run_report run_reference(const run_spec& wanted, const data_source& data, const run_options& options);

} // namespace troupe
