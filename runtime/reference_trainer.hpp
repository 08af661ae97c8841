// The reference trainer: one thread, no schedule, no actors; plain loops over steps, microbatches and layers. What it
// computes defines what every pipeline must compute, bit for bit.
#pragma once

#include "runtime/data.hpp"
#include "runtime/run_options.hpp"
#include "runtime/run_spec.hpp"

namespace troupe {

/// Trains as `spec` says; its pipeline section is not used, but for threads_per_stage and recomputation. Throws any
/// troupe::error.
run_report run_reference(const run_spec& spec, const data_source& data, const run_options& options);

} // namespace troupe
