#include "actors/network/distributed_run.hpp"

#include "actors/audience.hpp"
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/recorder.hpp"
#include "actors/run.hpp"
#include "actors/scheduler.hpp"
#include "actors/store.hpp"

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

} // namespace

std::optional<run_report> run_distributed(const run_spec& spec, const data_source& data, const run_options& options,
                                          const coordinator_setup_of_workers& workers) {
  const std::shared_ptr<run_setup> setup = make_setup(spec, &data, options, workers.processors);
  setup->spec.faults.snapshot_every = 0;
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
  const auto everyone =
      std::make_shared<const company>(spawn_sides(system, setup, *ready, workers.checkpoints, watcher.handle()));
  tell(everyone->recorder, introduction{everyone});
  tell(everyone->store, introduction{everyone});
  tell(everyone->scheduler, introduction{everyone});
  tell(head, begin_run{everyone});
  run_report report = watcher.watch(*everyone);
  for (rank_report& rank : report.ranks)
    rank.node = ready->node_of_rank[rank.rank];
  return report;
}

} // namespace troupe
