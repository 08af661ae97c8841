// The bounds of a run spec's whole numbers: the one place that those who read a field and those who check it ask.
#pragma once

#include <cstdint>
#include <string>

namespace troupe {

// No run that makes sense comes near these; they keep every later product far from overflow.
inline constexpr std::uint64_t most_steps = std::uint64_t{1} << 40U;
inline constexpr std::uint32_t most_ranks = 4096;

/// Both ends are included.
struct whole_range {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

/// What the field, such as "training.steps", may be whatever the other fields are. Every whole number of run_spec.proto
/// is known.
whole_range range_of(const std::string& field);

} // namespace troupe
