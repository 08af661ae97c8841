#include "model/random.hpp"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>

namespace troupe {

namespace {

r123::Philox4x64::ctr_type draw(const random_stream& stream, std::uint64_t block) noexcept {
  const r123::Philox4x64::ctr_type counter = {{block, stream.x, stream.y, stream.z}};
  const r123::Philox4x64::key_type key = {{stream.seed, static_cast<std::uint64_t>(stream.purpose)}};
  return r123::Philox4x64{}(counter, key);
}

/// The upper 53 bits as a fraction of one.
double to_unit(std::uint64_t word) noexcept {
  return static_cast<double>(word >> 11U) * 0x1.0p-53;
}

} // namespace

std::array<std::uint32_t, 8> random_stream::words(std::uint64_t block) const noexcept {
  const auto drawn = draw(*this, block);
  std::array<std::uint32_t, 8> out{};
  for (std::size_t i = 0; i < 4; ++i) {
    out[2 * i] = static_cast<std::uint32_t>(drawn[i]);
    out[2 * i + 1] = static_cast<std::uint32_t>(drawn[i] >> 32U);
  }
  return out;
}

std::uint64_t random_stream::word64(std::uint64_t index) const noexcept {
  return draw(*this, index / 4)[index % 4];
}

double random_stream::uniform(std::uint64_t index) const noexcept {
  return to_unit(word64(index));
}

void fill_normal(std::span<float> out, const random_stream& stream, double standard_deviation) {
  for (std::size_t first = 0; first < out.size(); first += 4) {
    const auto drawn = draw(stream, first / 4);
    for (std::size_t pair = 0; pair < 4; pair += 2) {
      const double radius = standard_deviation * std::sqrt(-2.0 * std::log(1.0 - to_unit(drawn[pair])));
      const double angle = 2.0 * std::numbers::pi * to_unit(drawn[pair + 1]);
      if (first + pair < out.size())
        out[first + pair] = static_cast<float>(radius * std::cos(angle));
      if (first + pair + 1 < out.size())
        out[first + pair + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
}

} // namespace troupe
