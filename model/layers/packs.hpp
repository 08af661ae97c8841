// Elementwise passes and sums over rows of floats, in packs of fixed size, so that no result depends on where a row
// lies in memory.
#pragma once

// GCC 12 takes the deliberately undefined operands in its own AVX-512 headers for mistakes (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <Eigen/Core>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstdint>
#include <limits>

namespace troupe {

// Eigen peels the two ends of an array of dynamic size by its address and computes them with other instructions
// (std::exp in place of its own), and it adds sums in an order that depends on the address. A pack is always computed
// as a whole; the last pack of a row is padded.

inline constexpr std::int64_t pack_size = 16;
using pack = Eigen::Array<float, pack_size, 1>;
using pack_view = Eigen::Map<pack>;
using const_pack_view = Eigen::Map<const pack>;

/// The first `count` elements, then `filler`.
inline pack load_part(const float* from, std::int64_t count, float filler = 0.0F) {
  pack part = pack::Constant(filler);
  std::copy_n(from, count, part.data());
  return part;
}

/// out[i] = function(inputs[i]...), where `function` maps packs to a pack or to an Eigen expression. `out` may be one
/// of the inputs.
template <class Function, class... Inputs>
void map_packs(float* out, std::int64_t count, const Function& function, const Inputs*... inputs) {
  std::int64_t i = 0;
  for (; i + pack_size <= count; i += pack_size)
    pack_view(out + i) = function(const_pack_view(inputs + i)...);
  if (i < count) {
    const pack last = function(load_part(inputs + i, count - i)...);
    std::copy_n(last.data(), count - i, out + i);
  }
}

/// The sum of function(inputs[i]...), in 16 interleaved partial sums that are added in a fixed order.
template <class Function, class... Inputs>
float sum_packs(std::int64_t count, const Function& function, const Inputs*... inputs) {
  pack total = pack::Zero();
  std::int64_t i = 0;
  for (; i + pack_size <= count; i += pack_size)
    total += function(const_pack_view(inputs + i)...);
  if (i < count) {
    const pack last = function(load_part(inputs + i, count - i)...);
    total += load_part(last.data(), count - i);
  }
  return total.sum();
}

inline float sum_packs(const float* values, std::int64_t count) {
  return sum_packs(
      count, [](const auto& x) { return x; }, values);
}

/// The largest of the values; which one when some are NaN is not defined.
inline float max_packs(const float* values, std::int64_t count) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  pack largest = pack::Constant(lowest);
  std::int64_t i = 0;
  for (; i + pack_size <= count; i += pack_size)
    largest = largest.max(const_pack_view(values + i));
  if (i < count)
    largest = largest.max(load_part(values + i, count - i, lowest));
  return largest.maxCoeff();
}

/// out = exp(scale * in - shift), NaN kept. Results under the smallest normal float are 0: subnormal operands would
/// slow the matrix products that follow, and Eigen's exp of -infinity is subnormal rather than 0.
inline void exp_packs(const float* in, float* out, std::int64_t count, float scale, float shift) {
  map_packs(
      out, count, [=](const auto& x) { return (x * scale - shift).exp(); }, in);
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = out[i] < std::numeric_limits<float>::min() ? 0.0F : out[i];
}

} // namespace troupe
