// The checker's part for asynchronous schedules: every microbatch finds the version of the weights that it needs.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// How many steps have to be joined until all that can happen at the seam of two steps has happened.
std::uint32_t steps_to_check(const schedule& plan);

/// Throws spec_error unless the rule of an asynchronous schedule fits its lists (sizes; u divides m; the forward passes
/// that run ahead are the list's first actions, and backward passes its last ones).
void check_asynchrony(const schedule& plan);

/// By rank: the most versions of one stage's weights that are held at once, when a version is dropped as soon as no
/// later microbatch needs it. `joined` is unrolled(plan, steps_to_check(plan)) and has passed check_schedule. Throws
/// spec_error, naming rank, action and both versions, when a microbatch needs weights that are not there yet, and when
/// a stage does not add its gradients in ascending order of microbatches.
std::vector<std::uint32_t> check_versions(const schedule& plan, const schedule& joined);

} // namespace troupe
