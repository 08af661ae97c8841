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

TEST_CASE("of what is held of a rank the oldest and the newest are told") {
  CHECK(two_of_each({}).empty());
  CHECK(two_of_each({{0, 5}, {1, 5}, {0, 6}, {1, 6}}) == std::vector<held_snapshot>{{0, 5}, {1, 5}, {0, 6}, {1, 6}});
  CHECK(two_of_each({{0, 5}, {0, 6}, {1, 6}, {0, 7}, {1, 7}, {1, 8}, {1, 9}}) ==
        std::vector<held_snapshot>{{0, 5}, {1, 6}, {0, 7}, {1, 9}});
}
