#include "model/error.hpp"
#include "model/layers/cross_entropy.hpp"
#include "model/layers/output_head.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

namespace {

/// (softmax - onehot) / (N * microbatches)
reference::matrix gradient_of(const tensor& logits, const std::vector<std::int32_t>& targets, double microbatches) {
  reference::matrix out = reference::softmax(widen(logits));
  for (std::size_t i = 0; i < out.rows; ++i)
    out(i, static_cast<std::size_t>(targets[i])) -= 1.0;
  for (double& v : out.values)
    v /= static_cast<double>(out.rows) * microbatches;
  return out;
}

} // namespace

TEST_CASE("loss and gradient agree with plain loops in double precision") {
  tensor_pool pool;
  const auto [rows, vocabulary] = GENERATE(table<std::int64_t, std::int64_t>({{1, 2}, {9, 37}, {64, 256}, {5, 1000}}));
  const std::vector<std::int32_t> targets = random_tokens(rows, vocabulary, 1);
  const tensor logits = random_tensor(pool, {rows, vocabulary}, 2, 3.0);
  const pass_context at{.microbatches = 4, .targets = targets, .pool = &pool};
  stash kept;
  REQUIRE(cross_entropy().forward(logits, kept, at).empty());
  REQUIRE(kept.loss == Approx(reference::cross_entropy(widen(logits), targets)).epsilon(1e-6));
  const tensor gradient = cross_entropy().backward_input({}, kept, at);
  REQUIRE(relative_error(gradient, gradient_of(logits, targets, 4.0)) < 1e-5);
}

TEST_CASE("evaluation gives the same loss and keeps nothing") {
  tensor_pool pool;
  const std::vector<std::int32_t> targets = random_tokens(10, 33, 1);
  const tensor logits = random_tensor(pool, {10, 33}, 2);
  stash trained;
  stash evaluated;
  cross_entropy().forward(logits, trained, {.targets = targets, .pool = &pool});
  cross_entropy().forward(logits, evaluated, {.mode = pass_mode::evaluate, .targets = targets, .pool = &pool});
  REQUIRE(trained.loss == evaluated.loss);
  REQUIRE(evaluated.bytes() == 0);
}

TEST_CASE("huge logits do not overflow the loss, and a NaN shows in it") {
  tensor_pool pool;
  const std::vector<std::int32_t> targets{1, 0};
  tensor logits = pool.make_filled({2, 20}, -1e4F);
  logits.row(0)[1] = 1e4F;
  logits.row(1)[1] = 1e4F;
  const pass_context at{.targets = targets, .pool = &pool};
  stash kept;
  cross_entropy().forward(logits, kept, at);
  REQUIRE(kept.loss == Approx(1e4)); // rows: 0 and 2e4
  logits.row(1)[18] = std::numeric_limits<float>::quiet_NaN();
  stash poisoned;
  cross_entropy().forward(logits, poisoned, at);
  REQUIRE(std::isnan(poisoned.loss));
}

TEST_CASE("a target outside the vocabulary is refused") {
  tensor_pool pool;
  const std::vector<std::int32_t> targets{5, 6};
  const tensor logits = random_tensor(pool, {2, 6}, 2);
  stash kept;
  REQUIRE_THROWS_AS(cross_entropy().forward(logits, kept, {.targets = targets, .pool = &pool}), data_error);
}

TEST_CASE("the output head agrees with plain loops and with its differences") {
  tensor_pool pool;
  output_head one({.vocabulary = 21, .width = 13, .standard_deviation = 0.1});
  randomise(one, pool);
  const pass_context at{.pool = &pool};
  const tensor x = random_tensor(pool, {6, 13}, 1);
  const tensor dy = random_tensor(pool, {6, 21}, 2);
  const pass_result found = run(one, x, dy, at);
  const reference::matrix w = widen(parameters_of(one)[0]->value);
  REQUIRE(relative_error(found.output, reference::product(widen(x), reference::transposed(w))) < 1e-5);
  REQUIRE(relative_error(found.input_gradient, reference::product(widen(dy), w)) < 1e-5);
  REQUIRE(relative_error(parameters_of(one)[0]->gradient,
                         reference::product(reference::transposed(widen(dy)), widen(x))) < 1e-5);
  check_by_differences(one, x, at);
}
