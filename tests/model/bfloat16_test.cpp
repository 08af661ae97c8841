#include "model/bfloat16.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace troupe;

namespace {

std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
float float_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

/// The value of a positive bfloat16 by its number, counted up from zero; 0x7F80, infinity's, stands for 2^128, where
/// the next value would be if there were one.
double value_of(std::uint32_t number) {
  const int exponent = static_cast<int>(number >> 7U);
  const double mantissa = number & 0x7FU;
  return exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(mantissa + 128.0, exponent - 134);
}

/// By the definition: the nearest of the two neighbours, in double, which holds all of these numbers; of two equally
/// near ones the one with an even number.
float nearest_bfloat16(float value) {
  if (std::isinf(value))
    return value;
  const double magnitude = std::fabs(static_cast<double>(value));
  std::uint32_t below = 0;
  for (std::uint32_t step = 0x4000; step > 0; step /= 2)
    if (below + step < 0x7F80 && value_of(below + step) <= magnitude)
      below += step;
  const double down = magnitude - value_of(below);
  const double up = value_of(below + 1) - magnitude;
  const std::uint32_t chosen = down < up || (down == up && below % 2 == 0) ? below : below + 1;
  return std::copysign(float_of(chosen << 16U), value);
}

std::vector<float> rounded(std::vector<float> values) {
  round_to_bfloat16(values);
  return values;
}

} // namespace

TEST_CASE("every exponent and mantissa rounds to the nearest bfloat16, and ties to the even one") {
  // All upper halves with lower halves at and beside the tie and both ends.
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper <= 0xFFFF; ++upper)
    for (const std::uint32_t lower : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU})
      if (const float value = float_of(upper << 16U | lower); !std::isnan(value))
        values.push_back(value);
  const std::vector<float> found = rounded(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    INFO(std::hexfloat << values[i]);
    if (bits_of(found[i]) != bits_of(nearest_bfloat16(values[i])))
      FAIL("found " << found[i] << ", expected " << nearest_bfloat16(values[i]));
  }
  CHECK(values.size() == 6 * 65536 - 2 * (6 * 128 - 1)); // all but the NaNs
}

TEST_CASE("a few values round as worked out by hand") {
  CHECK(rounded({1.0F, -2.5F, 0.0F}) == std::vector<float>{1.0F, -2.5F, 0.0F});
  CHECK(rounded({1.00390625F}) == std::vector<float>{1.0F});      // 1 + 2^-8, a tie
  CHECK(rounded({1.01171875F}) == std::vector<float>{1.015625F}); // 1 + 3 * 2^-8, a tie
  CHECK(rounded({0.1F}) == std::vector<float>{0.10009765625F});
  CHECK(bits_of(rounded({-0.0F})[0]) == bits_of(-0.0F));
  CHECK(rounded({1.99999F}) == std::vector<float>{2.0F}); // the carry enters the exponent
}

TEST_CASE("infinity stays, and what rounds up beyond the largest bfloat16 becomes infinity") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float largest = float_of(0x7F7F0000U);
  CHECK(rounded({infinity, -infinity, largest}) == std::vector<float>{infinity, -infinity, largest});
  CHECK(rounded({float_of(0x7F7F7FFFU)}) == std::vector<float>{largest});
  CHECK(rounded({float_of(0x7F7F8000U), std::numeric_limits<float>::lowest()}) ==
        std::vector<float>{infinity, -infinity});
}

TEST_CASE("every NaN stays one, is quiet, and keeps its sign") {
  for (const std::uint32_t sign : {0U, 0x80000000U})
    for (const std::uint32_t payload : {1U, 0x7FFFU, 0xFFFFU, 0x8000U, 0x10000U, 0x400000U, 0x7FFFFFU}) {
      const std::uint32_t found = bits_of(rounded({float_of(sign | 0x7F800000U | payload)})[0]);
      INFO(sign << " " << payload << " " << found);
      CHECK(std::isnan(float_of(found)));
      CHECK((found & 0x00400000U) != 0);
      CHECK((found & 0x80000000U) == sign);
      CHECK((found & 0x0000FFFFU) == 0);
    }
}

TEST_CASE("a value rounds alike wherever it lies in an array of any length") {
  for (std::size_t length = 0; length < 70; ++length) {
    std::vector<float> values(length + 2, 1.1F);
    round_to_bfloat16(std::span(values).subspan(1, length));
    CHECK(values.front() == 1.1F);
    CHECK(values.back() == 1.1F);
    CHECK(std::all_of(values.begin() + 1, values.end() - 1, [](float one) { return one == 1.1015625F; }));
  }
}

TEST_CASE("a tensor of one's own is rounded in place, a shared one in a copy") {
  tensor_pool pool;
  tensor own = pool.make_filled({3, 5}, 1.1F);
  const float* const place = own.data();
  const tensor in_place = rounded_to_bfloat16(std::move(own), pool);
  CHECK(in_place.data() == place);
  CHECK(in_place.values()[14] == 1.1015625F);

  const tensor kept = pool.make_filled({3, 5}, 1.1F);
  const tensor copy = rounded_to_bfloat16(kept, pool);
  CHECK(copy.data() != kept.data());
  CHECK(copy.extents() == kept.extents());
  CHECK(kept.values()[0] == 1.1F);
  CHECK(copy.values()[0] == 1.1015625F);
  CHECK(rounded_to_bfloat16({}, pool).empty());
}
