// Emulated passes: what --emulate asks for. Each action of a schedule takes a stated time and computes nothing, so that
// a few cores can stand for many machines.
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <string>

namespace troupe {

struct emulation {
  simulation_costs costs; ///< in seconds; B takes backward_input + backward_weight
  double jitter = 0.0;    ///< each action's time is multiplied by a number drawn evenly from 1 - jitter to 1 + jitter

  /// Seconds that `one` takes; its jitter follows from the arguments alone.
  double seconds(const action& one, std::uint64_t seed, std::uint64_t step) const;
};

/// Reads "f=10ms,i=10ms,w=10ms", optionally with "jitter=0.3" (0 up to, not including, 1). Throws spec_error, beginning
/// with `field`.
emulation parse_emulation(const std::string& text, const std::string& field);

} // namespace troupe
