// The checker: proves that a schedule can run, before it runs.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// What the checker found out about a schedule that is right.
struct schedule_facts {
  /// By stage: most microbatches whose stash the stage holds at once (from F until W or B); of two copies the larger
  /// number.
  std::vector<std::uint32_t> peak_by_stage;
  /// By rank: the same over all stages of the rank, counted in stage-microbatches.
  std::vector<std::uint32_t> peak_by_rank;
  /// By rank: most stage-microbatches between F and I (or B), which is how papers count activations. Where W is
  /// deferred it is less than peak_by_rank, as what W needs is held longer.
  std::vector<std::uint32_t> activations_by_rank;
  /// True when a run has the reference's bits: every stage adds weight gradients in ascending microbatch order (with
  /// two copies, each copy those of its group), and no microbatch sees older weights than the step's.
  bool canonical = true;
  /// By rank: versions of a stage's weights that are held at once; 1 unless the schedule is asynchronous.
  std::vector<std::uint32_t> versions_by_rank;
};

/// Throws spec_error, naming rank, action and the unmet need, unless: every stage runs F and (B, or I and W) exactly
/// once for each microbatch and on the stage's own rank; F of a stage follows F of the stage before; the backward pass
/// of a stage follows its F and the backward pass of the stage after; W follows I; no rank waits for ever; every
/// overlapped pair is F of one stage and I or B of another one of the same rank, no action in two pairs; and of two
/// copies each has all stages and half of the microbatches, no stage of both on one rank. Of an asynchronous schedule
/// all this is checked over several joined steps, and the rule for its weights, too.
schedule_facts check_schedule(const schedule& plan);

} // namespace troupe
