// Emulated passes: what --emulate asks for. Each action of a schedule takes a stated time and computes nothing, so that
// a few cores can stand for many machines.
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <string>

namespace troupe {

struct emulation {
  simulation_costs costs;   ///< in seconds; B takes backward_input + backward_weight
  double jitter = 0.0;      ///< each action's time is multiplied by a number drawn evenly from 1 - jitter to 1 + jitter
  double slow_share = 0.0;  ///< the part of all actions, drawn evenly, that are held up
  double slow_factor = 1.0; ///< how many times as long those take

  /// Seconds that `one` takes; its jitter follows from the arguments alone.
  double seconds(const action& one, std::uint64_t seed, std::uint64_t step) const;
};

/// Reads "f=10ms,i=10ms,w=10ms", optionally with "jitter=0.3" (0 up to, not including, 1) and "slow=0.05x6" (each
/// twentieth action, on average, takes six times as long). Throws spec_error, beginning with `field`.
emulation parse_emulation(const std::string& text, const std::string& field);

} // namespace troupe
