#include "model/layers/linear.hpp"
#include "tests/support/layer_checks.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("linear agrees with plain loops in double precision") {
  tensor_pool pool;
  const auto [rows, inputs, outputs] =
      GENERATE(table<std::int64_t, std::int64_t, std::int64_t>({{1, 1, 1}, {5, 7, 3}, {64, 32, 96}, {130, 48, 17}}));
  linear one({"w", inputs, outputs, 0.1});
  randomise(one, pool);
  const pass_context at{.pool = &pool};
  const tensor x = random_tensor(pool, {rows, inputs}, 1);
  const tensor dy = random_tensor(pool, {rows, outputs}, 2);
  const pass_result found = run(one, x, dy, at);

  const auto parameters = parameters_of(one);
  const reference::matrix w = widen(parameters[0]->value);
  REQUIRE(relative_error(found.output, reference::linear(widen(x), w, widen(parameters[1]->value))) < 1e-5);
  REQUIRE(relative_error(found.input_gradient, reference::product(widen(dy), reference::transposed(w))) < 1e-5);
  REQUIRE(relative_error(parameters[0]->gradient, reference::product(reference::transposed(widen(x)), widen(dy))) <
          1e-5);
  REQUIRE(relative_error(parameters[1]->gradient, reference::column_sums(widen(dy))) < 1e-5);
}

TEST_CASE("linear's gradients are its differences") {
  tensor_pool pool;
  linear one({"w", 24, 40, 0.1});
  randomise(one, pool);
  check_by_differences(one, random_tensor(pool, {9, 24}, 1), {.pool = &pool});
}

TEST_CASE("a second microbatch adds to linear's gradient") {
  tensor_pool pool;
  linear one({"w", 8, 12, 0.1});
  randomise(one, pool);
  const pass_context at{.pool = &pool};
  const tensor x = random_tensor(pool, {6, 8}, 1);
  const tensor dy = random_tensor(pool, {6, 12}, 2);
  run(one, x, dy, at);
  const tensor once = pool.copy(parameters_of(one)[0]->gradient);
  run(one, x, dy, at);
  reference::matrix twice = widen(once);
  for (double& v : twice.values)
    v *= 2.0;
  REQUIRE(relative_error(parameters_of(one)[0]->gradient, twice) < 1e-6);
}

TEST_CASE("linear keeps its input without copying it") {
  tensor_pool pool;
  linear one({"w", 8, 12, 0.1});
  randomise(one, pool);
  const tensor x = random_tensor(pool, {6, 8}, 1);
  stash kept;
  one.forward(x, kept, {.pool = &pool});
  REQUIRE(kept.slots.front().data() == x.data());
  REQUIRE(kept.bytes() == x.bytes());
}
