// The simulator: what a schedule would take, given the times of its parts.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Times of one stage's passes over one microbatch. Any unit, as long as it is the same everywhere. B takes input +
/// weight.
struct stage_cost {
  double forward = 1.0;
  double backward_input = 1.0;
  double backward_weight = 1.0;
};

struct simulation_costs {
  std::vector<stage_cost> stages; ///< one for each stage, or a single one for all
  double communication = 0.0;     ///< from the end of an action to its result being at another rank; overlaps compute
  /// How many ranks can compute at once; 0: all. With fewer processors than ranks, a rank that is ready waits in one
  /// queue (first ready, first served), as actors on a thread pool do.
  std::uint32_t processors = 0;
};

/// When one action ran.
struct timed_action {
  action what;
  double start = 0.0;
  double end = 0.0;
};

struct simulation {
  std::vector<std::vector<timed_action>> ranks; ///< by rank, in order
  std::vector<double> busy;                     ///< by rank
  std::vector<double> span;                     ///< by rank: from its first action's start to its last one's end
  double makespan = 0.0;
  /// 1 - sum(busy) / (ranks * makespan): the part of the ranks' time that is idle.
  double bubble_fraction = 0.0;
  std::vector<std::uint32_t> peak_stash; ///< by rank, in stage-microbatches
};

/// Event-driven, O(actions log ranks). The schedule must have passed check_schedule. Of an asynchronous schedule this
/// is one step between two flushes; unrolled() joins several.
simulation simulate(const schedule& plan, const simulation_costs& costs);

/// One step of many.
struct steady_step {
  double seconds = 0.0;         ///< by which each further step lengthens the run
  double bubble_fraction = 0.0; ///< the idle part of the ranks' time in it
};

/// A synchronous schedule's step is its makespan. An asynchronous one's is the difference that one step more makes.
steady_step simulate_steady_step(const schedule& plan, const simulation_costs& costs);

} // namespace troupe
