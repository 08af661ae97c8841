// What an attempt at a distributed run begins with: what it asks the workers, where it goes on, and who of the company
// lives beside the coordinator.
#pragma once

#include "actors/network/coordinator.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/data.hpp"
#include "runtime/run_options.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace troupe {

/// Everybody but the ranks, which live elsewhere.
company spawn_sides(caf::actor_system& system, const setup_ptr& setup, const workers_ready& workers,
                    const coordinator_setup_of_workers& how, const caf::actor& head, const observer& watcher);

/// The same run, but for its first step. It has no chaos: see question_of.
std::shared_ptr<run_setup> begun_from_held(const run_setup& before, const data_source& data, std::uint64_t steps_done);

/// Where the run can go on: the newest checkpoint that it has written, which goes to `written`, or where it began.
const checkpoint* newest_state(const run_spec& spec, const checkpoint* began, std::optional<checkpoint>& written);

/// What to ask the workers for. What they hold is of use when it is newer than the checkpoint, but nothing that has not
/// been decided, nor what is beyond the end of the run, nor what a run that goes back has not told yet. Nothing:
/// workers are not asked, as this process has just started them, or the run is a new one.
std::optional<held_question> question_of(const run_spec& spec, const run_options& options,
                                         const coordinator_setup_of_workers& workers);

} // namespace troupe
