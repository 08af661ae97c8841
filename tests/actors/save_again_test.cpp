// A rank that starts again while the checkpoint of just its state is being written.
#include "actors/scheduler.hpp"
#include "actors/shell.hpp"
#include "actors/stage.hpp"
#include "model/tensor.hpp"
#include "tests/support/rank_snapshots.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

using snapshots = std::shared_ptr<std::vector<rank_snapshot>>;

store_actor::behavior_type listening_store(const snapshots& seen) {
  return {[](const introduction&) {},    [seen](const rank_snapshot& in) { seen->push_back(in); },
          [](const layer_part&) {},      [](const part_written&) {},
          [](const part_lost&) {},       [](const run_given_up&) {},
          [](const layer_part_taken&) {}};
}

/// What the store gets of a rank that starts after two steps.
std::vector<rank_snapshot> saved_at_birth(bool save_again) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  const made_up_data data(spec);
  deterministic_config config;
  caf::actor_system system(config);
  const run_options options;
  const setup_ptr setup = make_setup(spec, &data, options, 1);
  tensor_pool pool;
  const auto start = std::make_shared<const rank_snapshot>(rank_snapshots(spec, setup->pipeline, 2, pool).at(1));
  const auto seen = std::make_shared<std::vector<rank_snapshot>>();
  caf::scoped_actor watcher(system);
  company everyone;
  everyone.scheduler = system.spawn(scheduler, setup, scheduler_start{}, caf::actor_cast<observer>(watcher));
  everyone.store = system.spawn([seen] { return listening_store(seen); });
  const stage_actor rank =
      system.spawn(stage, setup, stage_start{1, {.life = 2, .steps_done = 2, .save_again = save_again}, start},
                   caf::actor_cast<observer>(watcher));
  tell(rank, introduction{std::make_shared<const company>(everyone)});
  dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler()).run();
  return *seen;
}

} // namespace

TEST_CASE("a rank that is told so hands its starting state to the store, under its own life", "[actors][restart]") {
  CHECK(saved_at_birth(false).empty());
  const std::vector<rank_snapshot> saved = saved_at_birth(true);
  REQUIRE(saved.size() == 1);
  CHECK(saved.front().rank == 1);
  CHECK(saved.front().source_incarnation == 2);
  CHECK(saved.front().steps_done == 2);
  CHECK(saved.front().purpose == take_snapshot::to_checkpoint);
  CHECK_FALSE(saved.front().layers.empty());
}
