// When things are due in a run, and how its gradients are grouped. The scheduler and the reference trainer ask the same
// questions and must get the same answers.
#pragma once

#include "runtime/run_spec.hpp"

#include <algorithm>
#include <cstdint>

namespace troupe {

/// Steps done when the run ends by itself.
inline std::uint64_t final_step(const run_spec& spec) {
  const training_spec& training = spec.training;
  return training.stop_after == 0 ? training.steps : std::min(training.steps, training.stop_after);
}

inline bool validation_due(const run_spec& spec, std::uint64_t steps_done) {
  return spec.validation.every != 0 && steps_done % spec.validation.every == 0;
}

/// `last`: the run ends with this step, by itself or because the user asked.
inline bool checkpoint_due(const run_spec& spec, std::uint64_t steps_done, bool last) {
  const checkpoint_spec& wanted = spec.checkpoint;
  return !wanted.directory.empty() && (last || (wanted.every != 0 && steps_done % wanted.every == 0));
}

/// The same of the state that a run begins with and that is not saved yet.
inline bool checkpoint_due_at_start(const run_spec& spec, std::uint64_t steps_done) {
  return checkpoint_due(spec, steps_done, steps_done >= final_step(spec));
}

/// Steps from one snapshot that the ranks keep to the next; 0: they keep none. Asynchronous schedules have to flush for
/// it, so that they do it less often.
inline std::uint64_t steps_between_snapshots(const run_spec& spec, bool asynchronous) {
  constexpr std::uint64_t steps_between_flushes = 8; // at least
  const std::uint64_t every = spec.faults.snapshot_every;
  return asynchronous && every != 0 ? std::max(every, steps_between_flushes) : every;
}

inline bool snapshot_due(const run_spec& spec, bool asynchronous, std::uint64_t steps_done) {
  const std::uint64_t every = steps_between_snapshots(spec, asynchronous);
  return every != 0 && steps_done % every == 0;
}

/// Whether the step of an asynchronous schedule after which `steps_done` steps are done may run into the next one: not
/// when the run ends there, nor when a checkpoint or a validation needs the weights of just that step.
inline bool may_carry_on(const run_spec& spec, std::uint64_t steps_done) {
  return steps_done < final_step(spec) && !checkpoint_due(spec, steps_done, false) && !validation_due(spec, steps_done);
}

/// Into how many groups a step's gradients are added up; `copies` of the model need as many.
inline std::uint32_t gradient_groups_of(const run_spec& spec, std::uint32_t copies) {
  return spec.training.gradient_groups == 0 ? copies : spec.training.gradient_groups;
}

} // namespace troupe
