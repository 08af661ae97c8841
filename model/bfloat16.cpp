#include "model/bfloat16.hpp"

#include <bit>
#include <cstdint>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint32_t kept_bits = 0xFFFF0000U;
constexpr std::uint32_t sign_bit = 0x80000000U;
constexpr std::uint32_t infinity = 0x7F800000U;
constexpr std::uint32_t quiet_bit = 0x00400000U;

/// Works on the bits: half a unit of the last place is added, less one where that place holds a 0, so that a tie goes
/// to the even neighbour. A carry out of the mantissa enters the exponent, which is what rounding up to the next power
/// of two means, and from the largest exponent leads to infinity.
std::uint32_t round(std::uint32_t bits) {
  const std::uint32_t last_place = (bits >> 16U) & 1U;
  const std::uint32_t nearest = bits + 0x7FFFU + last_place;
  const bool nan = (bits & ~sign_bit) > infinity;
  return (nan ? bits | quiet_bit : nearest) & kept_bits;
}

} // namespace

void round_to_bfloat16(std::span<float> values) {
  for (float& value : values)
    value = std::bit_cast<float>(round(std::bit_cast<std::uint32_t>(value)));
}

tensor rounded_to_bfloat16(tensor values, tensor_pool& pool) {
  tensor rounded = values.unique() ? std::move(values) : pool.copy(values);
  round_to_bfloat16(rounded.values());
  return rounded;
}

} // namespace troupe
