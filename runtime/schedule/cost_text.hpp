// Times of a pipeline's passes as a user writes them: "f=1,i=1,w=1,comm=0", "f=10ms/12ms,i=10ms,w=8ms".
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <string>

namespace troupe {

enum class time_unit { any, seconds };

/// Costs as read from text.
struct written_costs {
  simulation_costs costs;
  time_unit unit = time_unit::any; ///< seconds if the text's times have units
};

/// Reads terms NAME=NUMBER that commas separate: the times f, i, w, opt (the optimizer, once a step) and comm; the
/// sizes weights, stash and out (see stage_size); and bandwidth, in sizes per time. All but comm and bandwidth may be a
/// list with one number for each stage, "1/1/2/3". Times may have a unit (s, ms or us), all or none; with units f, i
/// and w must all be there, without, what is missing is 1 (opt, comm: 0; sizes: 0; bandwidth: unbounded). Throws
/// spec_error that begins with `flag` and tells the term found and what was expected.
written_costs parse_costs(const std::string& text, const std::string& flag);

/// Throws spec_error, beginning with `flag`, unless `costs` has a single time for all stages, or one for each of
/// `stages`.
void expect_stage_count(const simulation_costs& costs, std::uint32_t stages, const std::string& flag);

} // namespace troupe
