// Where `troupe schedule` has its schedules from: a generator, a file, or the search; and what each costs.
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// As the flags say it.
struct schedule_source {
  schedule_request request = {.name = "", .ranks = 0, .microbatches = 0}; ///< 0: not given
  std::string compare;                                                    ///< more names, with commas between them
  std::string cost;
  std::uint32_t processors = 0;
  std::uint32_t memory_limit = 0; ///< of auto; 0: its default
};

struct costed_schedule {
  schedule plan;
  simulation_costs costs;
};

/// The schedule that is asked for, and those to compare with. Prints notes to stderr. Throws spec_error.
std::vector<costed_schedule> load_schedules(const schedule_source& source);

/// Of all schedules, the searched one last.
std::vector<std::string> all_schedule_names();

} // namespace troupe
