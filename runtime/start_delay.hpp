// What the runtime itself takes of a step: how long after it could have begun each action did begin.
#pragma once

#include "runtime/traffic.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Mean over a step's actions of the time between the moment at which rank and input were there (the end of the rank's
/// action before, and that of the neighbouring stage's pass) and the action's start: sending, waking, choosing. An
/// action that follows nothing is left out. Ranks must have had a processor each, or it counts waiting for one, too.
double mean_start_delay(const std::vector<slice_batch>& step, std::uint32_t stages);

} // namespace troupe
