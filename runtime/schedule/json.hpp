// A schedule with all that is known about it as one JSON document, for programs that plot or compare schedules.
#pragma once

#include "runtime/schedule/timed_schedule.hpp"

#include <span>
#include <string>

namespace troupe {

/// The schedule, its facts and its simulated timing.
std::string to_json(const timed_schedule& shown);

/// {"schedules": [...]}, each as above.
std::string to_json(std::span<const timed_schedule> compared);

} // namespace troupe
