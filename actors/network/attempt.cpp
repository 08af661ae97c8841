#include "actors/network/attempt.hpp"

#include "actors/recorder.hpp"
#include "actors/scheduler.hpp"
#include "actors/store.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/run_rules.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// Where the decision log of the run is that is gone on with; empty: it is none that was begun before.
fs::path log_directory_of(const run_spec& spec, const run_options& options) {
  if (options.before != nullptr)
    return spec.checkpoint.directory;
  return options.resume == nullptr ? options.followed : options.resume->path().parent_path();
}

/// Why a run cannot begin with what workers hold; empty: it can. `decided`: steps, as far as a log knows.
std::string why_not_from_held(const run_spec& spec, const fs::path& log, std::optional<std::uint64_t> decided) {
  if (spec.checkpoint.directory.empty())
    return "the run has no checkpoint directory";
  if (spec.faults.snapshot_every == 0)
    return "the run takes no snapshots (faults.snapshot_every)";
  if (!spec.faults.chaos.empty())
    return "the faults of a run with chaos are drawn for the steps from its checkpoint on";
  if (!decided)
    return (log / decision_log_name).string() + ", which says what was decided, cannot be read";
  return {};
}

} // namespace

company spawn_sides(caf::actor_system& system, const setup_ptr& setup, const workers_ready& workers,
                    const coordinator_setup_of_workers& how, const caf::actor& head, const observer& watcher) {
  company everyone;
  everyone.keeper = caf::actor_cast<keeper_actor>(head);
  for (const caf::actor& link : workers.link_of_rank)
    everyone.ranks.push_back(caf::actor_cast<stage_actor>(link));
  everyone.scheduler = system.spawn(scheduler, setup, scheduler_start{.keeper = everyone.keeper}, watcher);
  everyone.recorder = spawn_side(system, how.outside.sides, recorder, setup, watcher);
  everyone.store = spawn_side(system, how.outside.sides, store, setup, how.checkpoints, watcher);
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
  const bool just_started = options.before == nullptr && workers.replace_all;
  const fs::path log = log_directory_of(spec, options);
  if (just_started || log.empty())
    return std::nullopt;
  const std::optional<std::uint64_t> decided = steps_decided(log);
  held_question asked{.bounds = {.after = 0, .most = std::min(decided.value_or(0), final_step(spec))},
                      .otherwise = "the beginning",
                      .unused = why_not_from_held(spec, log, decided)};
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
