// Runs a pipeline: spawns the company of actors in this process, waits for the end, and returns the report.
#pragma once

#include "actors/interfaces.hpp"
#include "actors/keeper.hpp"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace troupe {

/// Trains `spec` through stage actors. Throws any troupe::error; an exception in any actor ends the run and is thrown
/// here with its text. All actors have ended when this returns.
run_report run_pipeline(const run_spec& spec, const data_source& data, const run_options& options);

/// How many ranks a run lets compute at once: one for each processor of the machine.
std::uint32_t usable_processors();

/// Where the recorder and the store run: on threads of their own, where disk and callbacks delay no rank, or on the
/// system's scheduler, as the deterministic tests need it.
enum class side_actors { own_threads, scheduled };

/// Spawns one of them there: as caf::actor_system::spawn.
template <class... Arguments>
auto spawn_side(caf::actor_system& system, side_actors placement, Arguments&&... arguments) {
  return placement == side_actors::own_threads ? system.spawn<caf::detached>(std::forward<Arguments>(arguments)...)
                                               : system.spawn(std::forward<Arguments>(arguments)...);
}

/// Spawns all actors of a run. Nothing happens before introduce().
company spawn_company(caf::actor_system& system, const setup_ptr& setup, const observer& watcher, side_actors placement,
                      const company_view& view);

/// Everybody sees everybody.
company_view plain_view();

/// Tells everyone of everyone, which starts the run. The ranks see `seen_by_ranks`, the others `seen_by_others`; tests
/// put actors that disturb the traffic between them.
void introduce(const company& everyone, const std::shared_ptr<const company>& seen_by_ranks,
               const std::shared_ptr<const company>& seen_by_others);

/// Makes the setup of a run: plan, family, clock, chaos. Who has no scheduler needs no `data`.
std::shared_ptr<run_setup> make_setup(const run_spec& spec, const data_source* data, const run_options& options,
                                      std::uint32_t processors);

/// Draws the faults that the spec asks for. To be called again where make_setup cannot know after how many steps the
/// run goes on, or that ranks share processes (`processes` as in chaos_run).
void settle_chaos(run_setup& setup, std::uint64_t first_step, std::vector<std::uint32_t> processes = {});

} // namespace troupe
