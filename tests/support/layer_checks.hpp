// What the tests of layers share: random inputs, one pass through a layer, comparison with the double-precision
// reference, and gradients by central differences.
#pragma once

#include "model/layer.hpp"
#include "model/random.hpp"
#include "tests/support/double_reference.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

namespace troupe::test {

/// A tensor of normal values; `id` tells one tensor of a test from another.
inline tensor random_tensor(tensor_pool& pool, const shape& extents, std::uint64_t id, double deviation = 1.0) {
  tensor made = pool.make(extents);
  fill_normal(made.values(), {.seed = 99, .purpose = random_purpose::data, .x = id}, deviation);
  return made;
}

/// Tokens 0 .. vocabulary - 1, each many times.
inline std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocabulary, std::uint64_t id) {
  std::vector<std::int32_t> made(static_cast<std::size_t>(count));
  const random_stream stream{.seed = 98, .purpose = random_purpose::data, .x = id};
  for (std::size_t i = 0; i < made.size(); ++i)
    made[i] = static_cast<std::int32_t>(stream.word64(i) % static_cast<std::uint64_t>(vocabulary));
  return made;
}

/// Gives every parameter memory and a value far from its start, so that no term of a gradient vanishes.
inline void randomise(layer& one, tensor_pool& pool, double deviation = 0.5) {
  std::uint64_t id = 1000;
  for (parameter* p : parameters_of(one)) {
    p->value = random_tensor(pool, p->extents, id++, deviation);
    for (float& v : p->value.values())
      v += p->start.value;
    p->gradient = pool.make_filled(p->extents, 0.0F);
  }
}

/// What one pass through a layer gave.
struct pass_result {
  tensor output, input_gradient;
};

inline pass_result run(layer& one, const tensor& input, const tensor& output_gradient, const pass_context& at) {
  stash kept;
  pass_result result;
  result.output = one.forward(input, kept, at);
  result.input_gradient = one.backward_input(output_gradient, kept, at);
  one.backward_weight(kept, at);
  REQUIRE(kept.bytes() == 0);
  return result;
}

inline reference::matrix widen(const tensor& x) {
  reference::matrix out(static_cast<std::size_t>(x.rows()), static_cast<std::size_t>(x.columns()));
  std::copy_n(x.data(), x.size(), out.values.begin());
  return out;
}

/// The largest difference over the largest reference value.
inline double relative_error(const tensor& found, const reference::matrix& expected) {
  REQUIRE(static_cast<std::size_t>(found.size()) == expected.values.size());
  double difference = 0.0;
  double largest = 1e-30;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double here = std::abs(static_cast<double>(found.values()[i]) - expected.values[i]);
    difference = here <= difference ? difference : here; // a NaN stays
    largest = std::max(largest, std::abs(expected.values[i]));
  }
  return difference / largest;
}

inline bool same_bits(const tensor& a, const tensor& b) {
  return a.extents() == b.extents() &&
         std::equal(a.values().begin(), a.values().end(), b.values().begin(), [](float x, float y) {
           return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
         });
}

inline double dot(const tensor& a, const tensor& b) {
  double total = 0.0;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    total += static_cast<double>(a.values()[i]) * static_cast<double>(b.values()[i]);
  return total;
}

/// Checks every gradient of <direction, layer(input)> by central differences along a random direction. The tolerance
/// is relative to the size that such a projection has on average. `input` may be empty.
inline void check_by_differences(layer& one, const tensor& input, const pass_context& at, double tolerance = 3e-3) {
  tensor_pool& pool = *at.pool;
  stash kept;
  const tensor first = one.forward(input, kept, at);
  kept.clear();
  const tensor direction = random_tensor(pool, first.extents(), 501);
  for (parameter* p : parameters_of(one))
    p->gradient.fill(0.0F);
  const tensor input_gradient = run(one, input, direction, at).input_gradient;

  // `moved` is what the input or a parameter holds; its elements are changed and put back.
  const auto check = [&](tensor& moved, const tensor& gradient, const tensor& at_input) {
    const tensor original = pool.copy(moved);
    const tensor along = random_tensor(pool, moved.extents(), 502);
    const float h = 1.0F / 128.0F;
    const auto value_at = [&](float distance) {
      for (std::size_t i = 0; i < moved.values().size(); ++i)
        moved.values()[i] = original.values()[i] + distance * along.values()[i];
      stash used;
      return dot(one.forward(at_input, used, at), direction);
    };
    const double measured = (value_at(h) - value_at(-h)) / (2.0 * static_cast<double>(h));
    std::copy(original.values().begin(), original.values().end(), moved.values().begin());
    const double expected_size =
        std::sqrt(dot(gradient, gradient) * dot(along, along) / static_cast<double>(along.size()));
    INFO("measured " << measured << ", gradient gives " << dot(gradient, along));
    REQUIRE(std::abs(measured - dot(gradient, along)) <= tolerance * expected_size);
  };
  for (parameter* p : parameters_of(one)) {
    INFO(p->name);
    check(p->value, p->gradient, input);
  }
  if (!input.empty()) {
    INFO("input");
    tensor moved = pool.copy(input);
    check(moved, input_gradient, moved);
  }
}

} // namespace troupe::test
