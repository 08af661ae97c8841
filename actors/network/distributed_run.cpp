#include "actors/network/distributed_run.hpp"

#include "actors/audience.hpp"
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/recorder.hpp"
#include "actors/run.hpp"
#include "actors/scheduler.hpp"
#include "actors/store.hpp"
#include "runtime/recovery/restart_policy.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace troupe {

namespace {

/// The scheduler, the recorder and the store are no load: one thread.
constexpr std::uint32_t threads = 1;

/// Lets go of the workers, however a run ends.
class claim {
public:
  claim(caf::actor coordinator, audience& watcher) : coordinator_(std::move(coordinator)), watcher_(watcher) {}
  claim(const claim&) = delete;
  claim& operator=(const claim&) = delete;
  ~claim() {
    tell(coordinator_, leave_run{});
    watcher_.await_left();
    caf::anon_send_exit(coordinator_, caf::exit_reason::user_shutdown);
  }

private:
  caf::actor coordinator_;
  audience& watcher_;
};

company spawn_sides(caf::actor_system& system, const setup_ptr& setup, const workers_ready& workers,
                    checkpoint_route route, const observer& watcher) {
  company everyone;
  for (const caf::actor& link : workers.link_of_rank)
    everyone.ranks.push_back(caf::actor_cast<stage_actor>(link));
  everyone.scheduler = system.spawn(scheduler, setup, scheduler_start{}, watcher);
  everyone.recorder = system.spawn<caf::detached>(recorder, setup, watcher);
  everyone.store = system.spawn<caf::detached>(store, setup, route, watcher);
  return everyone;
}

std::optional<run_report> run_attempt(const run_spec& spec, const data_source& data, const run_options& options,
                                      const coordinator_setup_of_workers& workers, const run_clock& clock) {
  const std::shared_ptr<run_setup> setup = make_setup(spec, &data, options, workers.processors);
  setup->clock = clock;
  prepare_checkpoints(spec); // before workers look for it
  network_config config(threads);
  caf::actor_system system(config);
  close_open_doors(system);
  audience watcher(system, options);
  const caf::actor head = system.spawn<caf::detached>(coordinator, setup, workers, watcher.handle());
  const claim held(head, watcher);
  const std::optional<workers_ready> ready = watcher.await_workers();
  if (!ready)
    return std::nullopt;
  if (workers.on_ready)
    workers.on_ready();
  company everyone = spawn_sides(system, setup, *ready, workers.checkpoints, watcher.handle());
  const auto here = std::make_shared<const company>(everyone);
  everyone.keeper = caf::actor_cast<keeper_actor>(head);
  const auto seen = std::make_shared<const company>(everyone);
  tell(everyone.recorder, introduction{seen});
  tell(everyone.store, introduction{seen});
  tell(everyone.scheduler, introduction{seen});
  tell(head, begin_run{seen});
  run_report report = watcher.watch(*here);
  for (rank_report& rank : report.ranks)
    rank.node = ready->node_of_rank[rank.rank];
  return report;
}

/// Where the run can go on: the newest checkpoint that it has written, or where it began.
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

} // namespace

std::optional<run_report> run_distributed(const run_spec& spec, const data_source& data, const run_options& options,
                                          const coordinator_setup_of_workers& workers) {
  const auto began = std::chrono::steady_clock::now();
  const run_clock clock = [began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  restart_policy returns(1, spec.faults.max_restarts, spec.faults.restart_window_seconds);
  run_report before;
  run_report so_far;
  so_far.first_step = options.resume == nullptr ? 0 : options.resume->steps_done();
  std::optional<checkpoint> written;
  run_options now = options;
  now.so_far = &so_far;
  coordinator_setup_of_workers how = workers;
  for (;;) {
    try {
      return run_attempt(spec, data, now, how, clock);
    } catch (const state_lost_error& lost) {
      const double noticed = clock();
      if (!returns.allows(0, noticed))
        throw run_error(fmt::format("{}; the run has gone back {} times within {:g} s, expected no more "
                                    "(faults.max_restarts)",
                                    lost.what(), spec.faults.max_restarts, spec.faults.restart_window_seconds));
      before = so_far;
      now.resume = newest_state(spec, options.resume, written);
      now.before = &before;
      const std::uint64_t to_step = now.resume == nullptr ? 0 : now.resume->steps_done();
      before.returns.push_back({before.first_step + before.losses.size(), to_step, lost.what(), noticed, 0.0});
      how.on_ready = [&before, &clock, noticed] { before.returns.back().seconds = clock() - noticed; };
      how.missing = missing_rule::left_out;
      if (how.replace_all)
        how.workers = how.replace_all();
      if (how.on_event)
        how.on_event(fmt::format("{}; the run goes back to step {}", lost.what(), to_step));
    }
  }
}

} // namespace troupe
