#include "actors/network/distributed_run.hpp"

#include "actors/audience.hpp"
#include "actors/network/attempt.hpp"
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/run.hpp"
#include "actors/scheduler.hpp"
#include "actors/shell.hpp"
#include "runtime/recovery/restart_policy.hpp"
#include "runtime/recovery/run_log.hpp"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

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

std::optional<run_report> run_attempt(const run_spec& spec, const data_source& data, const run_options& options,
                                      const coordinator_setup_of_workers& workers, const run_clock& clock,
                                      const std::shared_ptr<owned_path>& log) {
  std::shared_ptr<run_setup> setup = make_setup(spec, &data, options, workers.processors);
  setup->clock = clock;
  setup->log = log;
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
  if (ready->held_steps)
    setup = begun_from_held(*setup, data, *ready->held_steps);
  if (workers.on_ready)
    workers.on_ready(setup->first_step());
  const observer seen_by = watcher.handle();
  const auto seen = std::make_shared<const company>(spawn_sides(system, setup, *ready, workers, head, seen_by));
  const company& everyone = *seen;
  tell(everyone.recorder, introduction{seen});
  tell(everyone.store, introduction{seen});
  tell(everyone.scheduler, introduction{seen});
  tell(head, begin_run{seen, [&system, setup, seen_by](const scheduler_start& start) {
                         return system.spawn(scheduler, setup, start, seen_by);
                       }});
  run_report report = watcher.watch(everyone);
  for (rank_report& rank : report.ranks)
    rank.node = ready->node_of_rank[rank.rank];
  return report;
}

/// A run that goes back, or tries to begin, again and again is not helped by one more time.
void expect_few(restart_policy& returns, const run_spec& spec, const error& lost, double now) {
  if (!returns.allows(0, now))
    throw run_error(fmt::format("{}; the run has gone back {} times within {:g} s, expected no more "
                                "(faults.max_restarts)",
                                lost.what(), spec.faults.max_restarts, spec.faults.restart_window_seconds));
}

/// Workers that cannot be reached are left out from now on.
void look_for_workers_again(coordinator_setup_of_workers& how) {
  how.missing = missing_rule::left_out;
  if (how.replace_all)
    how.workers = how.replace_all();
}

} // namespace

std::optional<run_report> run_distributed(const run_spec& spec, const data_source& data, const run_options& options,
                                          const coordinator_setup_of_workers& workers) {
  const auto began = std::chrono::steady_clock::now();
  const run_clock clock = [began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  restart_policy returns(1, spec.faults.max_restarts, spec.faults.restart_window_seconds);
  run_spec asked = spec;
  run_report before;
  run_report so_far;
  so_far.first_step = options.resume == nullptr ? 0 : options.resume->steps_done();
  so_far.resumed_from = options.resume == nullptr ? "" : "checkpoint";
  std::optional<checkpoint> written;
  const auto log = std::make_shared<owned_path>();
  run_options now = options;
  now.so_far = &so_far;
  coordinator_setup_of_workers how = workers;
  std::string going_back; // why, until the run goes on
  for (;;) {
    try {
      how.held = question_of(spec, now, how);
      return run_attempt(asked, data, now, how, clock, log);
    } catch (const start_lost_error& lost) {
      expect_few(returns, spec, lost, clock());
      look_for_workers_again(how);
      if (how.on_event)
        how.on_event(fmt::format("{}; the run begins with those that are left", lost.what()));
    } catch (const state_lost_error& lost) {
      const double noticed = clock();
      expect_few(returns, spec, lost, noticed);
      expect_own_log(fs::path(spec.checkpoint.directory) / decision_log_name, *log);
      before = so_far;
      asked.faults.chaos.clear(); // what it was to be struck by has struck
      now.followed = spec.checkpoint.directory;
      now.resume = newest_state(spec, options.resume, written);
      now.before = &before;
      const std::uint64_t to_step = now.resume == nullptr ? 0 : now.resume->steps_done();
      before.returns.push_back({before.first_step + before.losses.size(), to_step, lost.what(), noticed, 0.0});
      going_back = fmt::format("{}; the run goes back to step {}", lost.what(), to_step);
      how.on_ready = [&before, &going_back, &clock, noticed](std::uint64_t step) {
        before.returns.back().to_step = step;
        before.returns.back().seconds = clock() - noticed;
        going_back.clear();
      };
      look_for_workers_again(how);
      if (how.on_event)
        how.on_event(going_back);
    } catch (const error& refused) {
      if (going_back.empty() || refused.kind() != error_kind::run)
        throw;
      throw run_error(fmt::format("{}, but {}", going_back, refused.what()));
    }
  }
}

} // namespace troupe
