#include "model/layers/attention.hpp"
#include "model/layers/dropout_mask.hpp"
#include "tests/support/layer_checks.hpp"

#include <cmath>
#include <limits>

using namespace troupe;
using namespace troupe::test;

namespace {

struct problem {
  std::int64_t sequences, tokens, heads, width; ///< B, T, heads, columns of a head
  double dropout;

  std::int64_t columns() const { return heads * width; }
  shape input() const { return {sequences * tokens, 3 * columns()}; }
  shape output() const { return {sequences * tokens, columns()}; }
  attention layer() const { return attention({heads, dropout, 7}); }
  pass_context context(tensor_pool& pool) const {
    return {.seed = 5, .step = 3, .microbatch = 2, .sequences = sequences, .sequence_length = tokens, .pool = &pool};
  }
};

/// The dropout factors of each head of one sequence, element by element.
std::vector<reference::matrix> masks_of(const problem& on, std::int64_t sequence, const pass_context& at) {
  std::vector<reference::matrix> masks;
  const auto T = static_cast<std::size_t>(on.tokens);
  const dropout_mask mask(on.dropout, 7, at);
  for (std::int64_t head = 0; head < on.heads && on.dropout > 0.0; ++head) {
    reference::matrix& factors = masks.emplace_back(T, T);
    for (std::size_t row = 0; row < T; ++row) {
      std::vector<float> drawn(T);
      const std::size_t line = static_cast<std::size_t>(sequence * on.heads + head) * T + row;
      mask.draw(line * ((T + 7) / 8), on.tokens, drawn.data());
      for (std::size_t column = 0; column < T; ++column)
        factors(row, column) = static_cast<double>(drawn[column]);
    }
  }
  return masks;
}

/// Output and q|k|v gradient of all sequences.
std::pair<reference::matrix, reference::matrix> solve(const problem& on, const tensor& x, const tensor& dy,
                                                      const pass_context& at) {
  const auto T = static_cast<std::size_t>(on.tokens);
  const auto C = static_cast<std::size_t>(on.columns());
  std::pair out{reference::matrix(T * static_cast<std::size_t>(on.sequences), C),
                reference::matrix(T * static_cast<std::size_t>(on.sequences), 3 * C)};
  for (std::int64_t sequence = 0; sequence < on.sequences; ++sequence) {
    const std::size_t first = static_cast<std::size_t>(sequence) * T;
    auto one = reference::split_heads(reference::slice_rows(widen(x), first, T), static_cast<std::size_t>(on.heads));
    one.masks = masks_of(on, sequence, at);
    const reference::matrix y = reference::attention(one);
    const auto gradient = reference::attention_backward(one, reference::slice_rows(widen(dy), first, T));
    for (std::size_t i = 0; i < T; ++i)
      for (std::size_t c = 0; c < C; ++c) {
        out.first(first + i, c) = y(i, c);
        out.second(first + i, c) = gradient.q(i, c);
        out.second(first + i, C + c) = gradient.k(i, c);
        out.second(first + i, 2 * C + c) = gradient.v(i, c);
      }
  }
  return out;
}

} // namespace

TEST_CASE("attention agrees with a full softmax in double precision") {
  tensor_pool pool;
  const problem on = GENERATE(problem{1, 1, 1, 4, 0.0}, problem{2, 5, 3, 5, 0.0}, problem{1, 64, 1, 16, 0.0},
                              problem{2, 65, 2, 8, 0.0}, problem{1, 200, 2, 24, 0.0}, problem{3, 128, 1, 32, 0.0},
                              problem{2, 75, 2, 8, 0.3}, problem{1, 130, 1, 16, 0.5});
  CAPTURE(on.sequences, on.tokens, on.heads, on.width, on.dropout);
  attention one = on.layer();
  const pass_context at = on.context(pool);
  const tensor x = random_tensor(pool, on.input(), 1);
  const tensor dy = random_tensor(pool, on.output(), 2);
  const pass_result found = run(one, x, dy, at);
  const auto [y, dx] = solve(on, x, dy, at);
  REQUIRE(relative_error(found.output, y) < 1e-5);
  // Of a single token the gradients of q and k are exactly 0.
  REQUIRE(relative_error(found.input_gradient, dx) < 1e-5);
}

TEST_CASE("attention's gradient is its difference") {
  tensor_pool pool;
  const problem on = GENERATE(problem{2, 70, 2, 8, 0.0}, problem{1, 70, 2, 8, 0.2});
  attention one = on.layer();
  check_by_differences(one, random_tensor(pool, on.input(), 1), on.context(pool));
}

TEST_CASE("large scores neither overflow nor lose the largest") {
  tensor_pool pool;
  const problem on{1, 150, 1, 16, 0.0};
  attention one = on.layer();
  const tensor x = random_tensor(pool, on.input(), 1, 12.0); // scores to several hundred
  const tensor dy = random_tensor(pool, on.output(), 2);
  const pass_result found = run(one, x, dy, on.context(pool));
  const auto [y, dx] = solve(on, x, dy, on.context(pool));
  REQUIRE(relative_error(found.output, y) < 1e-3);
  REQUIRE(relative_error(found.input_gradient, dx) < 1e-3);
}

TEST_CASE("a masked block is never read") {
  tensor_pool pool;
  const problem on{2, 3 * attention::block, 2, 8, 0.1};
  attention one = on.layer();
  const pass_context at = on.context(pool);
  tensor x = random_tensor(pool, on.input(), 1);
  tensor dy = random_tensor(pool, on.output(), 2);
  const pass_result clean = run(one, x, dy, at);
  // All of the first sequence's last two blocks: q, k and v.
  for (std::int64_t row = attention::block; row < on.tokens; ++row)
    std::fill_n(x.row(row), 3 * on.columns(), std::numeric_limits<float>::quiet_NaN());
  stash kept;
  const tensor y = one.forward(x, kept, at);
  for (std::int64_t row = 0; row < y.rows(); ++row) {
    const bool poisoned = row >= attention::block && row < on.tokens;
    for (std::int64_t column = 0; column < on.columns(); ++column) {
      REQUIRE(std::isnan(y.row(row)[column]) == poisoned);
      REQUIRE((poisoned || y.row(row)[column] == clean.output.row(row)[column]));
    }
  }
}

TEST_CASE("a NaN among the keys that a token sees is not hidden") {
  tensor_pool pool;
  const problem on{1, 100, 1, 8, 0.0};
  tensor x = random_tensor(pool, on.input(), 1);
  x.row(20)[on.columns() + 3] = std::numeric_limits<float>::quiet_NaN();
  stash kept;
  const tensor y = on.layer().forward(x, kept, on.context(pool));
  for (std::int64_t row = 0; row < on.tokens; ++row)
    REQUIRE(std::isnan(y.row(row)[0]) == (row >= 20));
}

TEST_CASE("sequences of a microbatch do not see each other") {
  tensor_pool pool;
  const problem two{2, 70, 2, 8, 0.0};
  const problem alone{1, 70, 2, 8, 0.0};
  const tensor x = random_tensor(pool, two.input(), 1);
  tensor second = pool.make(alone.input());
  std::copy_n(x.row(70), second.size(), second.data());
  stash kept;
  stash kept_alone;
  const tensor both = two.layer().forward(x, kept, two.context(pool));
  const tensor one = alone.layer().forward(second, kept_alone, alone.context(pool));
  REQUIRE(std::equal(one.values().begin(), one.values().end(), both.row(70)));
}

TEST_CASE("attention keeps its input, its output and one number per row and head") {
  tensor_pool pool;
  const problem on{2, 200, 4, 8, 0.1};
  const tensor x = random_tensor(pool, on.input(), 1);
  stash kept;
  const tensor y = on.layer().forward(x, kept, on.context(pool));
  REQUIRE(kept.bytes() == x.bytes() + y.bytes() + static_cast<std::size_t>(2 * 200 * 4) * sizeof(float));
}
