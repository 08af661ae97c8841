#include "actors/run.hpp"

#include "actors/audience.hpp"
#include "actors/recorder.hpp"
#include "actors/scheduler.hpp"
#include "actors/shell.hpp"
#include "actors/stage.hpp"
#include "actors/store.hpp"
#include "actors/system.hpp"
#include "runtime/emulated_family.hpp"
#include "runtime/emulation.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/stage_cuts.hpp"
#include "runtime/training_state.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace troupe {

std::shared_ptr<run_setup> make_setup(const run_spec& spec, const data_source* data, const run_options& options,
                                      std::uint32_t processors) {
  auto setup = std::make_shared<run_setup>();
  setup->spec = spec;
  setup->family = options.family != nullptr ? options.family : &find_family(spec.model.family);
  setup->pipeline = options.pipeline != nullptr ? *options.pipeline : make_plan(spec, *setup->family);
  if (options.resume != nullptr)
    expect_same_versions(*options.resume, versions_rule(setup->pipeline));
  setup->spec.training.gradient_groups = setup->pipeline.gradient_groups; // settled, for the report and checkpoints
  note_cuts(setup->spec, setup->pipeline.stages);
  setup->data = data;
  setup->options = &options;
  setup->start = options.resume;
  setup->processors = processors;
  if (spec.pipeline.emulated()) { // to wait takes no processor
    expect_stage_count(parse_emulation(spec.pipeline.emulate, "pipeline.emulate").costs, setup->pipeline.order.stages(),
                       "pipeline.emulate");
    setup->emulated = std::make_unique<emulated_family>(*setup->family);
    setup->family = setup->emulated.get();
    setup->processors = 0;
  }
  settle_chaos(*setup, setup->first_step());
  const auto start = std::chrono::steady_clock::now();
  setup->clock = [start] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  return setup;
}

void settle_chaos(run_setup& setup, std::uint64_t first_step, std::vector<std::uint32_t> processes) {
  setup.chaos = chaos_of(setup.spec, setup.pipeline, first_step, std::move(processes));
  setup.failing_disk = std::make_unique<chaos_disk>(setup.chaos);
}

company_view plain_view() {
  return [](const company& everyone) { return std::make_shared<const company>(everyone); };
}

company spawn_company(caf::actor_system& system, const setup_ptr& setup, const observer& watcher, side_actors placement,
                      const company_view& view) {
  company everyone;
  const auto spawn_rank = [&system, setup](const stage_start& start, const observer& kept_by) {
    return system.spawn(stage, setup, start, kept_by);
  };
  const auto spawn_scheduler = [&system, setup, watcher](const scheduler_start& start) {
    return system.spawn(scheduler, setup, start, watcher);
  };
  const keeper_setup how{spawn_rank, spawn_scheduler, view};
  everyone.keeper = spawn_side(system, placement, keeper, setup, how, watcher);
  for (std::uint32_t rank = 0; rank < setup->pipeline.ranks(); ++rank)
    everyone.ranks.push_back(spawn_rank({.rank = rank}, caf::actor_cast<observer>(everyone.keeper)));
  everyone.scheduler = spawn_scheduler({.keeper = everyone.keeper});
  everyone.recorder = spawn_side(system, placement, recorder, setup, watcher);
  everyone.store = spawn_side(system, placement, store, setup, checkpoint_route::shared, watcher);
  return everyone;
}

void introduce(const company& everyone, const std::shared_ptr<const company>& seen_by_ranks,
               const std::shared_ptr<const company>& seen_by_others) {
  tell(everyone.keeper, introduction{std::make_shared<const company>(everyone)});
  tell(everyone.recorder, introduction{seen_by_others});
  tell(everyone.store, introduction{seen_by_others});
  tell(everyone.scheduler, introduction{seen_by_others});
  for (const stage_actor& rank : everyone.ranks)
    tell(rank, introduction{seen_by_ranks});
}

std::uint32_t usable_processors() {
  return std::max(1U, std::thread::hardware_concurrency());
}

run_report run_pipeline(const run_spec& spec, const data_source& data, const run_options& options) {
  // Where passes are emulated the ranks do next to nothing, and a second thread only has to be woken.
  const std::uint32_t threads = spec.pipeline.emulated() ? 1 : usable_processors();
  const setup_ptr setup = make_setup(spec, &data, options, threads);
  prepare_checkpoints(spec);
  prepare_shelf(spec);
  expect_threads(threads);
  run_config config(threads);
  caf::actor_system system(config);
  audience watcher(system, options);
  alarm_clock alarm;
  company everyone = spawn_company(system, setup, watcher.handle(), side_actors::own_threads, plain_view());
  everyone.alarm = &alarm;
  const auto shared = std::make_shared<const company>(everyone);
  introduce(everyone, shared, shared);
  return watcher.watch(everyone);
}

} // namespace troupe
