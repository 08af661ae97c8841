// Steps of an asynchronous schedule, joined without a flush between them, and the version of the weights that each
// microbatch sees.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// How many updates the weights of `stage` have had that F and B of microbatch `k` use; k counts over the whole run.
/// max(0, k - lag) / u, rounded down: PipeDream's weight stashing has u = 1 and the stage's own depth as lag, with
/// vertical sync (SOSP'19, section 3.3) the first stage's depth; PipeDream-2BW (arXiv 2006.09503, section 3.1) has
/// u = lag = m, which is W(t-1) for all of step t.
std::uint64_t weights_version(const asynchrony& rule, std::uint32_t stage, std::uint64_t k);

/// The largest number of updates by which a microbatch's weights may be older than the newest ones of its stage when a
/// step ends; the older versions that a snapshot has to hold.
std::uint32_t versions_behind(const asynchrony& rule);

/// How a step meets its neighbours in time.
enum class step_start { afresh, continued };
enum class step_end { flush, carry_on };

/// What one rank runs in one step. A step that carries on runs the first `ahead` forward passes of the next one among
/// its last actions, as microbatches m, m + 1, ...; a continued step leaves them out. A synchronous schedule always
/// starts afresh and flushes: its list is the schedule's.
std::vector<action> step_actions(const schedule& plan, std::uint32_t rank, step_start start, step_end end);

/// `steps` steps of an asynchronous schedule from a fresh start to a flush as one synchronous schedule, with
/// microbatches counted through: what the checker, the simulator and the pictures work on.
schedule unrolled(const schedule& plan, std::uint32_t steps);

} // namespace troupe
