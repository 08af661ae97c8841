// The outer loop of a run without actors: steps, validations, checkpoints and the end, around whoever does the
// training.
#pragma once

#include "runtime/digest.hpp"
#include "runtime/journal.hpp"
#include "runtime/run_options.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>

namespace troupe {

/// Trains the whole model on the calling thread.
class local_trainer {
public:
  local_trainer() = default;
  local_trainer(const local_trainer&) = delete;
  local_trainer& operator=(const local_trainer&) = delete;
  virtual ~local_trainer() = default;

  /// Whether steps may run into one another.
  virtual bool carries_on() const { return false; }
  /// One step from its first microbatch to the update. With carry_on the next call is for the next step. A poisoned
  /// step says so and leaves the weights as they were; but those of a trainer that carries on are lost.
  virtual step_closed train(std::uint64_t step, step_end end) = 0;
  virtual step_closed validate(std::uint64_t step) = 0;
  /// Writes a checkpoint. Throws checkpoint_error when the disk refuses.
  virtual checkpoint_committed save(std::uint64_t steps_done) = 0;
  virtual state_hashes hashes() = 0;
};

/// Seconds of the steady clock.
double seconds_now();

/// Runs from where `options` say to the end of `spec`, and reports. Throws run_error when a poisoned step ends the run,
/// as step_coordinator does.
run_report run_locally(const run_spec& spec, const run_options& options, local_trainer& trainer, journal& log);

} // namespace troupe
