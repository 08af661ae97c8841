// The schedules of the papers that could stand where a found one is to stand: what the search has to beat, and what it
// starts from.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

struct published_schedule {
  schedule plan;
  /// Most stage-microbatches that a rank holds from F until W.
  std::uint32_t peak = 0;
};

/// Every generator's schedule with `chunks` stages a rank, where it has one. Left out are those that mean something
/// else than one synchronous step over one copy of the weights, in the reference's order of additions.
std::vector<published_schedule> published_schedules(std::uint32_t ranks, std::uint32_t microbatches,
                                                    std::uint32_t chunks);

} // namespace troupe
