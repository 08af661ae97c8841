#include "model/layers/gelu.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

TEST_CASE("gelu agrees with plain loops in double precision") {
  tensor_pool pool;
  const std::int64_t columns = GENERATE(1, 5, 16, 61, 512);
  gelu one;
  const tensor x = random_tensor(pool, {3, columns}, 1, 2.0);
  const tensor dy = random_tensor(pool, {3, columns}, 2);
  const pass_result found = run(one, x, dy, {.pool = &pool});
  REQUIRE(relative_error(found.output, reference::gelu(widen(x))) < 1e-5);
  REQUIRE(relative_error(found.input_gradient, reference::gelu_backward(widen(x), widen(dy))) < 1e-5);
}

TEST_CASE("gelu's gradient is its difference") {
  tensor_pool pool;
  gelu one;
  check_by_differences(one, random_tensor(pool, {11, 13}, 1), {.pool = &pool});
}

TEST_CASE("gelu is the identity far to the right, 0 far to the left, and keeps a NaN") {
  tensor_pool pool;
  tensor x = pool.make({1, 4});
  x.row(0)[0] = 20.0F;
  x.row(0)[1] = -20.0F;
  x.row(0)[2] = 0.0F;
  x.row(0)[3] = std::numeric_limits<float>::quiet_NaN();
  stash kept;
  const tensor y = gelu().forward(x, kept, {.pool = &pool});
  REQUIRE(y.row(0)[0] == Approx(20.0));
  REQUIRE(y.row(0)[1] == Approx(0.0).margin(1e-5));
  REQUIRE(y.row(0)[2] == 0.0F);
  REQUIRE(std::isnan(y.row(0)[3]));
}
