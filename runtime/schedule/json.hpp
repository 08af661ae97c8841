// A schedule with all that is known about it as one JSON document, for programs that plot or compare schedules.
#pragma once

#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <string>

namespace troupe {

/// The schedule, its facts and its simulated timing.
std::string to_json(const schedule& plan, const schedule_facts& facts, const simulation& timing);

} // namespace troupe
