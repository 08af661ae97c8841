// The simulator: what a schedule would take in time and memory, given the times and sizes of its parts.
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
  double optimizer = 0.0; ///< once a step, when every rank is through with its list

  friend bool operator==(const stage_cost&, const stage_cost&) = default;
};

/// Sizes of one stage, in bytes or any other unit.
struct stage_size {
  double weights = 0.0; ///< all that stays: parameters, gradients, optimizer state
  double stash = 0.0;   ///< of one microbatch, from F until W or B
  double output = 0.0;  ///< of one microbatch: activations to the next stage, and their gradient on its way back

  friend bool operator==(const stage_size&, const stage_size&) = default;
};

/// One direction of the connection of two ranks.
struct link_cost {
  double latency = 0.0;
  double bandwidth = 0.0; ///< sizes per time; 0: unbounded

  friend bool operator==(const link_cost&, const link_cost&) = default;
};

struct simulation_costs {
  std::vector<stage_cost> stages; ///< one for each stage, or a single one for all
  double communication = 0.0;     ///< latency: from the end of an action to its result being at another rank
  /// How many ranks can compute at once; 0: all. With fewer processors than ranks, a rank that is ready waits in one
  /// queue (first ready, first served), as actors on a thread pool do.
  std::uint32_t processors = 0;
  double bandwidth = 0.0;          ///< of every link, see link_cost
  std::vector<stage_size> sizes{}; ///< one for each stage, a single one for all, or none: all are 0
  /// By sender * ranks + receiver, instead of `communication` and `bandwidth`; empty: all links are alike.
  std::vector<link_cost> links{};
};

/// The time that `one` takes by `costs`.
double duration_of(const action& one, const simulation_costs& costs);

/// When one action ran.
struct timed_action {
  action what;
  double start = 0.0;
  double end = 0.0;
};

struct simulation {
  std::vector<std::vector<timed_action>> ranks; ///< by rank, in order
  std::vector<double> busy;                     ///< by rank; passes only, no optimizer
  std::vector<double> span;                     ///< by rank: from its first action's start to its last one's end
  double makespan = 0.0;                        ///< of all passes
  /// 1 - sum(busy) / (ranks * makespan): the part of the ranks' time that is idle.
  double bubble_fraction = 0.0;
  std::vector<std::uint32_t> peak_stash; ///< by rank, in stage-microbatches
  std::vector<double> peak_size;         ///< by rank: weights of its stages, and the most that its stashes add up to
  /// Makespan and the slowest rank's optimizer: the gradient's global norm is a barrier before it.
  double step_time = 0.0;
};

/// What follows from when each action ran, the first one from 0 on: busy, span, makespan, bubble and peak stash. A list
/// may begin in the midst of a run: what it ceases to hold without having begun to does not count.
simulation summarise(std::vector<std::vector<timed_action>> ranks);

/// Results cross between ranks while these compute, but a link carries one at a time, in the order in which they were
/// made: one arrives at max(made, link free) + output / bandwidth + latency. Between stages of one rank there is
/// nothing to wait for. O(actions) with a processor for each rank, else O(actions log ranks). The schedule must have
/// passed check_schedule. Of an asynchronous schedule this is one step between two flushes; unrolled() joins several.
simulation simulate(const schedule& plan, const simulation_costs& costs);

/// One step of many.
struct steady_step {
  double seconds = 0.0;         ///< by which each further step lengthens the run
  double bubble_fraction = 0.0; ///< the idle part of the ranks' time in it
};

/// One step of an asynchronous schedule between others: its actions by rank, from the first one's start on, with the
/// next step's microbatches numbered from 0 again; busy time and bubble are those of a steady step.
simulation simulate_joined_step(const schedule& plan, const simulation_costs& costs);

/// A synchronous schedule's step is its makespan. An asynchronous one's is the difference that one step more makes.
steady_step simulate_steady_step(const schedule& plan, const simulation_costs& costs);

} // namespace troupe
