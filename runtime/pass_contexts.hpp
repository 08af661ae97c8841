// What ranks, interpreter and reference tell a pass of the run that it is part of.
#pragma once

#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>

namespace troupe {

/// The context of a pass over one microbatch, without its tokens and targets. `divisor`: microbatches whose gradients
/// make one update, see pass_context::microbatches.
inline pass_context context_of(const run_spec& spec, const step_id& at, std::uint32_t microbatch, std::uint32_t divisor,
                               tensor_pool& pool) {
  return {.seed = spec.training.seed,
          .step = at.step,
          .microbatch = microbatch,
          .microbatches = divisor,
          .sequences = spec.training.microbatch_size,
          .sequence_length = spec.model.sequence_length,
          .mode = at.mode,
          .pool = &pool};
}

} // namespace troupe
