// What a run can go on from of what workers hold.
#include "runtime/plan.hpp"
#include "runtime/recovery/held_answer.hpp"
#include "runtime/recovery/held_state.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

state_key key_with(const std::string& field, const std::string& value) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.pipeline.schedule = "1f1b";
  if (!field.empty())
    set_field(spec, field, value);
  return key_of(spec, make_plan(spec, find_family(spec.model.family)));
}

} // namespace

TEST_CASE("the newest step counts of which somebody holds the snapshot of each rank") {
  const std::vector<held_snapshot> held = {{0, 8}, {1, 8}, {0, 9}, {1, 9}, {2, 9}, {2, 8}, {0, 10}, {2, 10}, {2, 10}};
  CHECK(newest_whole(held, 3, {.after = 0, .most = 100}) == 9);
  CHECK(newest_whole(held, 3, {.after = 8, .most = 9}) == 9);
  CHECK(newest_whole(held, 3, {.after = 0, .most = 8}) == 8);              // nobody has decided more
  CHECK(newest_whole(held, 3, {.after = 9, .most = 100}) == std::nullopt); // a checkpoint is as new
  CHECK(newest_whole({}, 3, {.after = 0, .most = 100}) == std::nullopt);
}

TEST_CASE("a state is the same run's when all that decides its result is the same") {
  const state_key expected = key_with("", "");
  CHECK(key_with("training.steps", "1000") == expected);
  CHECK(key_with("checkpoint.every", "7") == expected);
  CHECK(key_with("faults.snapshot_every", "5") == expected);
  CHECK(key_with("pipeline.schedule", "zb-h1") == expected);
  for (const auto& [field, value] : {std::pair<std::string, std::string>{"training.seed", "77"},
                                     {"optimizer.learning_rate", "0.5"},
                                     {"data.sha256", std::string(64, 'a')},
                                     {"pipeline.threads_per_stage", "2"}}) {
    INFO(field);
    CHECK(key_with(field, value).result != expected.result);
  }
}

TEST_CASE("a state is of use where each rank holds the same layers") {
  const state_key expected = key_with("", "");
  const auto& [field, value] = GENERATE(table<std::string, std::string>(
      {{"pipeline.stages", "3"}, {"pipeline.partition", "1,5"}, {"pipeline.partition", "5,1"}}));
  INFO(field << " " << value);
  const state_key other = key_with(field, value);
  CHECK(other.result == expected.result);
  CHECK(other.shape != expected.shape);
}

TEST_CASE("all that is held of a rank is told, or its oldest and its newest") {
  using snapshots = std::vector<held_snapshot>;
  CHECK(told_of_each({}).empty());
  const snapshots line_not_moved_yet{{0, 5}, {1, 5}, {0, 6}, {1, 6}, {0, 7}};
  CHECK(told_of_each(line_not_moved_yet) == line_not_moved_yet);
  snapshots many{{1, 9}};
  for (std::uint64_t steps_done = 10; steps_done < 20; ++steps_done)
    many.push_back({0, steps_done});
  many.push_back({1, 20});
  CHECK(told_of_each(many) ==
        snapshots{{1, 9}, {0, 10}, {0, 11}, {0, 12}, {0, 13}, {0, 16}, {0, 17}, {0, 18}, {0, 19}, {1, 20}});
}
