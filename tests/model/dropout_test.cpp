#include "model/layers/dropout.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::int64_t rows = 100;
constexpr std::int64_t columns = 333;

/// What dropout makes of ones.
tensor mask(tensor_pool& pool, double rate, std::uint64_t site, pass_context at) {
  at.pool = &pool;
  stash kept;
  return dropout(rate, site).forward(pool.make_filled({rows, columns}, 1.0F), kept, at);
}

} // namespace

TEST_CASE("dropout keeps about one minus rate and scales what it keeps") {
  tensor_pool pool;
  const double rate = GENERATE(0.1, 0.5, 0.9);
  const tensor made = mask(pool, rate, 1, {});
  std::int64_t kept = 0;
  for (const float v : made.values()) {
    REQUIRE((v == 0.0F || v == Approx(1.0 / (1.0 - rate))));
    kept += v != 0.0F ? 1 : 0;
  }
  const auto count = static_cast<double>(rows * columns);
  // Five standard deviations of a binomial count.
  REQUIRE(std::abs(static_cast<double>(kept) - count * (1.0 - rate)) < 5.0 * std::sqrt(count * rate * (1.0 - rate)));
}

TEST_CASE("the mask depends on seed, step, microbatch and site, and on nothing else") {
  tensor_pool pool;
  const pass_context base{.seed = 1, .step = 2, .microbatch = 3};
  const tensor first = mask(pool, 0.5, 4, base);
  pass_context other = base;
  other.microbatches = 9;
  other.sequences = 10;
  other.sequence_length = 10;
  REQUIRE(same_bits(first, mask(pool, 0.5, 4, other)));
  const auto differs = [&](pass_context at, std::uint64_t site) {
    return !same_bits(first, mask(pool, 0.5, site, at));
  };
  REQUIRE(differs({.seed = 7, .step = 2, .microbatch = 3}, 4));
  REQUIRE(differs({.seed = 1, .step = 7, .microbatch = 3}, 4));
  REQUIRE(differs({.seed = 1, .step = 2, .microbatch = 7}, 4));
  REQUIRE(differs(base, 7));
}

TEST_CASE("backward drops what forward dropped") {
  tensor_pool pool;
  dropout one(0.4, 11);
  const pass_context at{.seed = 1, .pool = &pool};
  const tensor ones = pool.make_filled({rows, columns}, 1.0F);
  const pass_result found = run(one, ones, ones, at);
  REQUIRE(same_bits(found.output, found.input_gradient));
  check_by_differences(one, random_tensor(pool, {7, 9}, 1), at);
}

TEST_CASE("an element's fate does not depend on the tensor's size") {
  tensor_pool pool;
  const tensor large = mask(pool, 0.5, 1, {});
  stash kept;
  const tensor small = dropout(0.5, 1).forward(pool.make_filled({1, 301}, 1.0F), kept, {.pool = &pool});
  REQUIRE(std::equal(small.values().begin(), small.values().end(), large.values().begin()));
}

TEST_CASE("dropout that drops nothing shares its input's memory") {
  tensor_pool pool;
  const tensor x = random_tensor(pool, {4, 4}, 1);
  stash kept;
  REQUIRE(dropout(0.0, 1).forward(x, kept, {.pool = &pool}).data() == x.data());
  REQUIRE(dropout(0.5, 1).forward(x, kept, {.mode = pass_mode::evaluate, .pool = &pool}).data() == x.data());
  REQUIRE(kept.bytes() == 0);
}

TEST_CASE("a dropped NaN is still a NaN") {
  tensor_pool pool;
  const tensor x = pool.make_filled({10, 10}, std::numeric_limits<float>::quiet_NaN());
  stash kept;
  const tensor y = dropout(0.5, 1).forward(x, kept, {.pool = &pool});
  REQUIRE(std::all_of(y.values().begin(), y.values().end(), [](float v) { return std::isnan(v); }));
}
