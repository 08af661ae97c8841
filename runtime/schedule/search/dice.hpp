// The search's random numbers: from a seed, the same on every machine (the standard library's distributions are not).
#pragma once

#include <array>
#include <cstdint>
#include <random>

namespace troupe {

class dice {
public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}

  /// From 0 to below 1.
  double part() { return static_cast<double>(engine_() >> 11U) * 0x1p-53; }
  /// From 0 to `sides` - 1.
  std::size_t below(std::size_t sides) { return engine_() % sides; }
  bool coin() { return below(2) == 0; }

  template <class Value, std::size_t Size>
  const Value& one_of(const std::array<Value, Size>& values) {
    return values[below(Size)];
  }

private:
  std::mt19937_64 engine_;
};

} // namespace troupe
