// The forms in which `troupe schedule` shows schedules: what the checker found, a grid, JSON.
#pragma once

#include "runtime/schedule/check.hpp"
#include "runtime/schedule/draw.hpp"
#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <string>

namespace troupe {

/// A schedule with all that is known about it.
struct timed_schedule {
  schedule plan;
  schedule_facts facts;
  simulation timing;
};

/// Sizes, peaks, and whether the schedule is canonical.
std::string describe_facts(const schedule& plan, const schedule_facts& facts);

/// How wide and colourful a grid on stdout may be. A row that wraps is unreadable, so it is cut at the edge of a
/// terminal; a file or a pipe gets all of it.
grid_options grid_for_stdout();

/// The grid, with the shortest action in one cell, and what it costs.
std::string as_grid(const timed_schedule& shown, grid_options options);
std::string as_json(const timed_schedule& shown);

} // namespace troupe
