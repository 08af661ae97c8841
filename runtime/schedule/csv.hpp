// Schedules as CSV files: one row a rank, one action a cell, in PyTorch's text form.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstddef>
#include <string>

namespace troupe {

/// An overlapped pair is one cell, "(0F3;7B1)OVERLAP_F_B". An asynchronous schedule has a line before the first rank's,
/// see csv_asynchrony.hpp.
std::string to_csv(const schedule& plan);

/// Whether a schedule's name is that of a file.
bool is_csv(const std::string& name);

/// What was read over.
struct csv_notes {
  std::size_t bookkeeping = 0; ///< cells such as 0SEND_F3 or 1UNSHARD: mailboxes and stages do that by themselves
};

/// "note: FILE: 12 bookkeeping actions such as SEND_F are read over", with a line break; empty when there were none.
std::string describe(const csv_notes& notes, const std::string& name);

/// Reads to_csv's form: cells may have blanks around them, empty cells are skipped, and so are PyTorch's bookkeeping
/// actions, which `notes` counts. `name` stands in error messages and becomes the schedule's name. The number of
/// microbatches and the rank of each stage follow from the actions: there are two copies of the model when every stage
/// has the first half of the microbatches in one row and the second half in another one. Whether the lists make a
/// schedule that can run is check_schedule's business. Throws spec_error naming row, column, what was found and what
/// was expected.
schedule parse_csv(const std::string& text, const std::string& name, csv_notes* notes = nullptr);

/// parse_csv of a file. Throws spec_error when it is missing, not a regular file, or larger than 256 MiB.
schedule read_csv(const std::string& path, csv_notes* notes = nullptr);

} // namespace troupe
