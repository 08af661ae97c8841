#include "actors/network/attempt.hpp"

#include "actors/recorder.hpp"
#include "actors/scheduler.hpp"
#include "actors/store.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/run_rules.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace troupe {

namespace {

/// Whether workers may hold something: not those that this process has just started. Of a run with chaos the faults are
/// drawn for the steps from its checkpoint on.
bool may_be_held(const run_spec& spec, const run_options& options, const coordinator_setup_of_workers& workers) {
  const bool just_started = options.before == nullptr && workers.replace_all;
  return !just_started && !spec.checkpoint.directory.empty() && spec.faults.snapshot_every != 0 &&
         spec.faults.chaos.empty() && log_start_of(spec, options.resume, options.followed) == log_start::go_on;
}

} // namespace

company spawn_sides(caf::actor_system& system, const setup_ptr& setup, const workers_ready& workers,
                    const coordinator_setup_of_workers& how, const caf::actor& head, const observer& watcher) {
  company everyone;
  everyone.keeper = caf::actor_cast<keeper_actor>(head);
  for (const caf::actor& link : workers.link_of_rank)
    everyone.ranks.push_back(caf::actor_cast<stage_actor>(link));
  everyone.scheduler = system.spawn(scheduler, setup, scheduler_start{.keeper = everyone.keeper}, watcher);
  if (how.outside.sides == side_actors::own_threads) {
    everyone.recorder = system.spawn<caf::detached>(recorder, setup, watcher);
    everyone.store = system.spawn<caf::detached>(store, setup, how.checkpoints, watcher);
  } else {
    everyone.recorder = system.spawn(recorder, setup, watcher);
    everyone.store = system.spawn(store, setup, how.checkpoints, watcher);
  }
  return everyone;
}

std::shared_ptr<run_setup> begun_from_held(const run_setup& before, const data_source& data, std::uint64_t steps_done) {
  std::shared_ptr<run_setup> setup = make_setup(before.spec, &data, *before.options, before.processors);
  setup->clock = before.clock;
  setup->log = before.log;
  setup->held_steps = steps_done;
  return setup;
}

const checkpoint* newest_state(const run_spec& spec, const checkpoint* began, std::optional<checkpoint>& written) {
  if (spec.checkpoint.directory.empty())
    return began;
  try {
    std::vector<std::string> warnings;
    written = checkpoint::open_latest(spec.checkpoint.directory, warnings);
  } catch (const checkpoint_error&) { // there is none yet
    return began;
  }
  return &*written;
}

std::optional<held_question> question_of(const run_spec& spec, const run_options& options,
                                         const coordinator_setup_of_workers& workers) {
  if (!may_be_held(spec, options, workers))
    return std::nullopt;
  const std::optional<std::uint64_t> decided = steps_decided(spec.checkpoint.directory);
  if (!decided)
    return std::nullopt;
  held_question asked{.bounds = {.after = 0, .most = std::min(*decided, final_step(spec) - 1)},
                      .otherwise = "the beginning"};
  if (options.resume != nullptr) {
    asked.bounds.after = options.resume->steps_done();
    asked.otherwise = options.resume->path().filename().string();
  }
  if (const run_report* const before = options.before; before != nullptr) {
    asked.bounds.most = std::min(asked.bounds.most, before->first_step + before->losses.size());
    asked.otherwise.clear();
  }
  return asked;
}

} // namespace troupe
