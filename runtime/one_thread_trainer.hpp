// The interpreter of schedules: runs the lists of all ranks on one thread, without actors, messages or credits. The
// yardstick of the asynchronous schedules, whose result no plain loop over microbatches gives.
#pragma once

#include "runtime/data.hpp"
#include "runtime/run_options.hpp"
#include "runtime/run_spec.hpp"

namespace troupe {

/// Trains as `wanted` says, through the lists of its schedule: rank after rank as far as each one gets, until all are
/// through. Holds the whole model. Throws any troupe::error.
run_report run_one_thread(const run_spec& wanted, const data_source& data, const run_options& options);

} // namespace troupe
