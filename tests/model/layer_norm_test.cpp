#include "model/layers/layer_norm.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

TEST_CASE("layer_norm agrees with plain loops in double precision") {
  tensor_pool pool;
  const auto [rows, width] = GENERATE(table<std::int64_t, std::int64_t>({{1, 2}, {7, 16}, {33, 37}, {12, 256}}));
  layer_norm one("n", width);
  randomise(one, pool);
  const tensor x = random_tensor(pool, {rows, width}, 1, 3.0);
  const tensor dy = random_tensor(pool, {rows, width}, 2);
  const pass_result found = run(one, x, dy, {.pool = &pool});

  const auto parameters = parameters_of(one);
  const reference::matrix gamma = widen(parameters[0]->value);
  const auto expected = reference::layer_norm_backward(widen(x), gamma, widen(dy));
  REQUIRE(relative_error(found.output, reference::layer_norm(widen(x), gamma, widen(parameters[1]->value))) < 1e-5);
  // With two columns the true gradient is nearly 0, the small difference of large terms.
  if (width > 2)
    REQUIRE(relative_error(found.input_gradient, expected.x) < 1e-5);
  REQUIRE(relative_error(parameters[0]->gradient, expected.gamma) < 1e-5);
  REQUIRE(relative_error(parameters[1]->gradient, expected.beta) < 1e-5);
}

TEST_CASE("layer_norm's gradients are its differences") {
  tensor_pool pool;
  layer_norm one("n", 27);
  randomise(one, pool);
  check_by_differences(one, random_tensor(pool, {9, 27}, 1), {.pool = &pool});
}

TEST_CASE("layer_norm keeps a large common offset exact enough") {
  tensor_pool pool;
  layer_norm one("n", 64);
  randomise(one, pool);
  tensor x = random_tensor(pool, {4, 64}, 1);
  for (float& v : x.values())
    v += 100.0F;
  stash kept;
  const tensor y = one.forward(x, kept, {.pool = &pool});
  const auto parameters = parameters_of(one);
  REQUIRE(relative_error(y, reference::layer_norm(widen(x), widen(parameters[0]->value), widen(parameters[1]->value))) <
          1e-4);
}

TEST_CASE("a NaN in a row shows in the whole row and in no other") {
  tensor_pool pool;
  layer_norm one("n", 19);
  randomise(one, pool);
  tensor x = random_tensor(pool, {3, 19}, 1);
  x.row(1)[18] = std::numeric_limits<float>::quiet_NaN();
  stash kept;
  const tensor y = one.forward(x, kept, {.pool = &pool});
  for (std::int64_t column = 0; column < 19; ++column) {
    REQUIRE_FALSE(std::isnan(y.row(0)[column]));
    REQUIRE(std::isnan(y.row(1)[column]));
    REQUIRE_FALSE(std::isnan(y.row(2)[column]));
  }
}
