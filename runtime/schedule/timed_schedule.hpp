// A schedule with all that is known about it, and what it costs in a line: makespan, bubble, peak stash.
#pragma once

#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"

#include <optional>
#include <string>

namespace troupe {

struct timed_schedule {
  schedule plan;
  schedule_facts facts;
  simulation timing;
  std::optional<steady_step> steady = {}; ///< of an asynchronous schedule, of which `plan` is several joined steps
};

/// Stages of a rank; a mean where ranks have different numbers of them.
double stages_per_rank(const schedule& plan);

/// The largest peak stash of a rank, counted in microbatches that each fill the rank's share of the model: with v
/// stages a rank, v stage-microbatches are one. So schedules of any number of stages compare.
double peak_in_microbatches(const schedule& plan, const simulation& timing);

/// "makespan 33, bubble 27.3 %, peak stash 4 microbatches"; `unit` follows the makespan.
std::string headline(const schedule& plan, const simulation& timing, const std::string& unit = "");

/// "; each further step 24, bubble 0.0 %" of an asynchronous schedule; empty of others.
std::string steady_note(const timed_schedule& shown);

} // namespace troupe
