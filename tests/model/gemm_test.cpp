#include "model/gemm.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

using namespace troupe;

namespace {

/// What surrounds a matrix in memory: must neither be read (it would spread) nor written.
constexpr float outside = 1e30F;

/// A matrix whose rows are `padding` elements apart, filled from a formula that has no symmetry.
struct padded {
  std::vector<float> memory;
  std::int64_t rows, columns, stride;

  padded(std::int64_t row_count, std::int64_t column_count, std::int64_t padding, double phase)
      : memory(static_cast<std::size_t>(row_count * (column_count + padding)), outside), rows(row_count),
        columns(column_count), stride(column_count + padding) {
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        at(r, c) =
            static_cast<float>(std::sin(phase + 0.37 * static_cast<double>(r * r) + 1.3 * static_cast<double>(c)));
  }
  float& at(std::int64_t r, std::int64_t c) { return memory[static_cast<std::size_t>(r * stride + c)]; }
  double at(std::int64_t r, std::int64_t c, transpose flipped) const {
    const std::int64_t index = flipped == transpose::no ? r * stride + c : c * stride + r;
    return static_cast<double>(memory[static_cast<std::size_t>(index)]);
  }
  const_matrix view() const { return {memory.data(), rows, columns, stride}; }
  matrix view() { return {memory.data(), rows, columns, stride}; }
};

padded operand(std::int64_t rows, std::int64_t columns, transpose flipped, std::int64_t padding, double phase) {
  return flipped == transpose::no ? padded(rows, columns, padding, phase) : padded(columns, rows, padding, phase);
}

/// The largest difference to plain loops in double, as a share of what rounding may cost (Higham, "Accuracy and
/// stability of numerical algorithms", section 3.1); more than 1 when memory outside the result was written.
double worst_error(std::int64_t rows, std::int64_t columns, std::int64_t depth, transpose flip_a, transpose flip_b,
                   std::int64_t padding, accumulate mode) {
  const padded a = operand(rows, depth, flip_a, padding, 0.1);
  const padded b = operand(depth, columns, flip_b, padding, 0.2);
  padded c(rows, columns, padding, 0.3);
  const padded before = c;
  gemm(a.view(), flip_a, b.view(), flip_b, c.view(), mode);
  double worst = 0.0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double expected = mode == accumulate::yes ? before.at(i, j, transpose::no) : 0.0;
      double magnitude = std::abs(expected);
      for (std::int64_t k = 0; k < depth; ++k) {
        expected += a.at(i, k, flip_a) * b.at(k, j, flip_b);
        magnitude += std::abs(a.at(i, k, flip_a) * b.at(k, j, flip_b));
      }
      const double allowed = 0x1.0p-24 * static_cast<double>(depth + 1) * magnitude;
      const double difference = std::abs(c.at(i, j, transpose::no) - expected);
      worst = std::max(worst, difference == 0.0 ? 0.0 : difference / allowed);
    }
    for (std::int64_t j = columns; j < c.stride; ++j)
      worst = c.at(i, j) == outside ? worst : 2.0;
  }
  return worst;
}

tensor wavy(tensor_pool& pool, const shape& extents) {
  tensor made = pool.make(extents);
  for (std::int64_t i = 0; i < made.size(); ++i)
    made.data()[i] = std::sin(0.7F * static_cast<float>(i % 1001));
  return made;
}

} // namespace

TEST_CASE("gemm agrees with plain loops in double for every transposition, stride and size") {
  const auto flip_a = GENERATE(transpose::no, transpose::yes);
  const auto flip_b = GENERATE(transpose::no, transpose::yes);
  const auto mode = GENERATE(accumulate::no, accumulate::yes);
  const auto padding = GENERATE(0, 5);
  const std::vector<std::vector<std::int64_t>> sizes = {
      {1, 1, 1}, {1, 7, 3}, {7, 1, 3}, {5, 4, 1}, {3, 5, 7}, {16, 16, 16}, {17, 33, 65}, {64, 48, 128}, {31, 96, 257}};
  for (const auto& size : sizes) {
    CAPTURE(size, padding, flip_a == transpose::yes, flip_b == transpose::yes, mode == accumulate::yes);
    CHECK(worst_error(size[0], size[1], size[2], flip_a, flip_b, padding, mode) < 1.0);
  }
}

TEST_CASE("a product over an empty dimension is zero, and adds nothing") {
  const auto flip_a = GENERATE(transpose::no, transpose::yes);
  const auto flip_b = GENERATE(transpose::no, transpose::yes);
  CHECK(worst_error(3, 4, 0, flip_a, flip_b, 0, accumulate::no) == 0.0);
  CHECK(worst_error(3, 4, 0, flip_a, flip_b, 0, accumulate::yes) == 0.0);
}

TEST_CASE("a product without rows or columns touches nothing") {
  const auto flip_a = GENERATE(transpose::no, transpose::yes);
  const auto flip_b = GENERATE(transpose::no, transpose::yes);
  CHECK(worst_error(0, 4, 5, flip_a, flip_b, 2, accumulate::no) == 0.0);
  CHECK(worst_error(3, 0, 5, flip_a, flip_b, 2, accumulate::no) == 0.0);
}

TEST_CASE("what the result held before is not read unless it is added to") {
  tensor_pool pool;
  const tensor a = wavy(pool, {9, 20});
  const tensor b = wavy(pool, {20, 30});
  tensor c = pool.make_filled({9, 30}, std::nanf(""));
  gemm(as_matrix(a), transpose::no, as_matrix(b), transpose::no, as_matrix(c), accumulate::no);
  for (const float x : c.values())
    REQUIRE_FALSE(std::isnan(x));
}

TEST_CASE("gemm gives the same bits on every call and at every address a tensor can have") {
  const auto flip_b = GENERATE(transpose::no, transpose::yes);
  tensor_pool pool;
  const shape b_shape = flip_b == transpose::no ? shape{65, 127} : shape{127, 65};
  std::vector<tensor> held; // keeps memory taken, so that each round's tensors lie elsewhere
  tensor first;
  for (int round = 0; round < 8; ++round) {
    const tensor a = wavy(pool, {130, 65});
    const tensor b = wavy(pool, b_shape);
    tensor c = pool.make({130, 127});
    gemm(as_matrix(a), transpose::no, as_matrix(b), flip_b, as_matrix(c), accumulate::no);
    if (round == 0)
      first = c;
    CHECK(std::memcmp(first.data(), c.data(), c.bytes()) == 0);
    held.insert(held.end(), {a, b, c, pool.make({1 + 16 * round})});
  }
}

TEST_CASE("the library behind gemm is named with its version, and takes at least one thread") {
  CHECK(gemm_library().find_first_of("0123456789") != std::string::npos);
  CHECK(max_gemm_threads() >= 1);
}
