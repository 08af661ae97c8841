// Counter-based random numbers: a value is a pure function of (seed, purpose, position), so it does not matter who
// draws it, when, or in which order. Philox4x64-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (SC'11).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe {

/// What a number is drawn for; streams of different purposes never meet.
enum class random_purpose : std::uint64_t { weights = 1, dropout = 2, data = 3, sampling = 4, jitter = 5, chaos = 6 };

/// One stream of random numbers: key (seed, purpose), and three coordinates that the caller gives a meaning to.
struct random_stream {
  std::uint64_t seed = 0;
  random_purpose purpose = random_purpose::weights;
  std::uint64_t x = 0, y = 0, z = 0;

  /// The eight 32-bit words at position `block`; elements 8*block .. 8*block+7 of the stream.
  std::array<std::uint32_t, 8> words(std::uint64_t block) const noexcept;
  /// The 64-bit word at `index`.
  std::uint64_t word64(std::uint64_t index) const noexcept;
  /// Uniform in [0, 1) with 53 bits.
  double uniform(std::uint64_t index) const noexcept;
};

/// Fills `out` with normal values of mean 0 and the given standard deviation; element i depends on the stream and i
/// alone (Box-Muller in double precision).
void fill_normal(std::span<float> out, const random_stream& stream, double standard_deviation);

} // namespace troupe
