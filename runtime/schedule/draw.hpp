// The picture of a schedule: a row for each rank, time to the right.
#pragma once

#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace troupe {

enum class colour { never, always };

/// Columns of a grid's parts. Grids with the same shape and unit can be read one under another.
struct grid_shape {
  std::size_t head = 0; ///< of the label that each row begins with
  std::size_t cell = 0; ///< of one unit of time, without the blank behind it
};

/// What the labels of this schedule need.
grid_shape shape_of(const schedule& plan);

struct grid_options {
  colour colours = colour::never; ///< ANSI colours by operation
  /// Characters of a row; longer rows are cut there, with '>' as the last one. 0: no limit but that of 2^16 cells.
  std::uint32_t maximum_columns = 0;
  double unit = 1.0; ///< time that one cell stands for; no longer than the shortest action, or that one may not show
  grid_shape at_least = {}; ///< where other grids need more room than this schedule
};

/// The schedule as text: a ruler with the time, then a row for each rank with one cell for each unit of time (cells are
/// as wide as the longest action). Idle cells are dots; an action of several units is drawn out with dashes. With one
/// stage a rank and one copy the cell shows the op and the microbatch ("F3"), else the stage too ("1F3").
std::string draw_grid(const schedule& plan, const simulation& timing, const grid_options& options);

} // namespace troupe
