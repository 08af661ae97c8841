#include "model/layers/chain.hpp"
#include "model/layers/dropout.hpp"
#include "model/layers/gelu.hpp"
#include "model/layers/linear.hpp"
#include "model/layers/residual.hpp"
#include "tests/support/layer_checks.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

layer_ptr two_linears() {
  return make_chain(std::make_unique<linear>(linear_options{"a", 12, 20, 0.1}), std::make_unique<gelu>(),
                    std::make_unique<linear>(linear_options{"b", 20, 12, 0.1}));
}

} // namespace

TEST_CASE("a chain is its parts one after the other, and a residual adds its input") {
  tensor_pool pool;
  residual one(two_linears());
  randomise(one, pool);
  const tensor x = random_tensor(pool, {5, 12}, 1);
  const tensor dy = random_tensor(pool, {5, 12}, 2);
  const pass_result found = run(one, x, dy, {.pool = &pool});

  const auto p = parameters_of(one);
  REQUIRE(p.size() == 4);
  REQUIRE(p[2]->name == "b.weight");
  const auto value = [&](std::size_t i) { return widen(p[i]->value); };
  const reference::matrix hidden = reference::linear(widen(x), value(0), value(1));
  const reference::matrix y = reference::linear(reference::gelu(hidden), value(2), value(3));
  REQUIRE(relative_error(found.output, reference::sum(widen(x), y)) < 1e-5);
  const reference::matrix after = reference::product(widen(dy), reference::transposed(value(2)));
  const reference::matrix before = reference::gelu_backward(hidden, after);
  const reference::matrix dx = reference::product(before, reference::transposed(value(0)));
  REQUIRE(relative_error(found.input_gradient, reference::sum(widen(dy), dx)) < 1e-5);
  REQUIRE(relative_error(p[0]->gradient, reference::product(reference::transposed(widen(x)), before)) < 1e-5);
}

TEST_CASE("a residual's gradients are its differences") {
  tensor_pool pool;
  residual one(two_linears());
  randomise(one, pool);
  check_by_differences(one, random_tensor(pool, {6, 12}, 1), {.pool = &pool});
}

TEST_CASE("a residual around the identity leaves its input alone") {
  tensor_pool pool;
  residual one(std::make_unique<dropout>(0.0, 1));
  const tensor x = random_tensor(pool, {3, 4}, 1);
  const tensor before = pool.copy(x);
  const pass_result found = run(one, x, x, {.pool = &pool});
  REQUIRE(same_bits(x, before));
  reference::matrix doubled = reference::sum(widen(x), widen(x));
  REQUIRE(relative_error(found.output, doubled) == 0.0);
  REQUIRE(relative_error(found.input_gradient, doubled) == 0.0);
}

TEST_CASE("a chain that evaluates keeps nothing") {
  tensor_pool pool;
  const layer_ptr one = two_linears();
  randomise(*one, pool);
  stash kept;
  one->forward(random_tensor(pool, {5, 12}, 1), kept, {.mode = pass_mode::evaluate, .pool = &pool});
  REQUIRE(kept.bytes() == 0);
}
