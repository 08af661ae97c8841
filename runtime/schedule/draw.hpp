// Pictures and tables of a schedule.
#pragma once

#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <string>

namespace troupe {

enum class colour { never, always };

struct grid_options {
  colour colours = colour::never;
  std::uint32_t maximum_columns = 0; ///< cut each row there, with a mark; 0: no limit
};

/// The schedule as text: a row for each rank, time to the right, one cell for each time unit of the simulation (cells
/// are as wide as the longest action). Idle cells are dots. With one stage a rank the cell shows the op and the
/// microbatch ("F3"), else "1F3".
std::string draw_grid(const schedule& plan, const simulation& timing, const grid_options& options);

/// One row a rank, one action a cell, in PyTorch's text form.
std::string to_csv(const schedule& plan);
/// Reads to_csv's form: empty cells are skipped. `name` stands in error messages. The number of microbatches and the
/// rank of each stage follow from the actions. Throws spec_error naming row, column, what was found and what was
/// expected.
schedule parse_csv(const std::string& text, const std::string& name);

/// The schedule, its facts and its simulated timing as a JSON document.
std::string to_json(const schedule& plan, const simulation& timing);

} // namespace troupe
