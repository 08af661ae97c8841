// A run over several processes: workers host the ranks, this process the scheduler, the recorder and the store.
#pragma once

#include "actors/network/coordinator.hpp"
#include "runtime/data.hpp"
#include "runtime/report.hpp"
#include "runtime/run_options.hpp"

#include <optional>

namespace troupe {

/// Trains `spec` on workers. Ranks of a worker that is lost live again on others. When what they need is lost as well,
/// the whole run goes back to its newest checkpoint, or to where it began. Throws any troupe::error, as run_pipeline
/// does; with faults.snapshot_every 0 a worker that is lost ends the run with a run_error that names it. All workers
/// are let go of when this returns: the report, or nothing when the user interrupted before training began.
std::optional<run_report> run_distributed(const run_spec& spec, const data_source& data, const run_options& options,
                                          const coordinator_setup_of_workers& workers);

} // namespace troupe
