// The forms in which `troupe schedule` shows schedules: what the checker found, grid, JSON, SVG.
#pragma once

#include "runtime/schedule/draw.hpp"
#include "runtime/schedule/timed_schedule.hpp"

#include <span>
#include <string>

namespace troupe {

/// Sizes, peaks, and whether the schedule is canonical.
std::string describe_facts(const schedule& plan, const schedule_facts& facts);

/// How wide and colourful a grid on stdout may be. A row that wraps is unreadable, so it is cut at the edge of a
/// terminal; a file or a pipe gets all of it.
grid_options grid_for_stdout();

/// One schedule: its grid and what it costs. Several: one under another at the same scale, each after a line that says
/// what it costs. The shortest action of all fills one cell.
std::string as_grid(std::span<const timed_schedule> shown, grid_options options);
std::string as_svg(std::span<const timed_schedule> shown);
/// One schedule: its document. Several: a list of them.
std::string as_json(std::span<const timed_schedule> shown);

} // namespace troupe
