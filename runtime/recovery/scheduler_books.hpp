// What a scheduler's successor has to know and cannot learn from the ranks: what was begun and decided since the
// recovery line, and what the report needs. The rest, such as losses of a step that is open, the ranks send again.
#pragma once

#include "runtime/recovery/restart_policy.hpp"
#include "runtime/traffic.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace troupe {

enum class run_phase { gathering_ranks, in_step, finishing, closed };

/// A step that has begun since the recovery line, be it open or closed.
struct begun_step {
  step_id at;
  step_end end = step_end::flush;
  double opened = 0.0; ///< time
  bool closed = false;
  std::optional<step_decision> decision = {};
};

/// Plain data. Times are seconds of the run's clock.
struct scheduler_books {
  run_phase phase = run_phase::gathering_ranks;
  bool interrupted = false;
  bool ended_early = false;
  std::uint64_t steps_done = 0;
  std::uint64_t recovery_line = 0;
  std::uint64_t newest_generation = 0;    ///< steps done of the newest snapshots that were asked for
  std::uint64_t checkpoint_in_flight = 0; ///< steps done of the one being written; 0: none
  std::uint64_t last_snapshot = 0;        ///< steps done when the last one for a checkpoint was taken
  std::uint64_t last_failed = 0;          ///< steps done in the last checkpoint that could not be written; 0: none
  double last_closed = 0.0;
  double longest_step = 0.0;
  std::deque<begun_step> history; ///< in order

  std::vector<incarnation> lives;       ///< by rank
  std::vector<std::uint64_t> births;    ///< by rank: steps done in the state that its life began with
  std::vector<rank_progress> former;    ///< by rank: how far the incarnations before have come
  std::vector<rank_usage> usage;        ///< of the living incarnations
  std::vector<rank_usage> former_usage; ///< of those before
  restart_policy policy;
  std::vector<rank_recovery> recoveries;
  std::map<std::uint32_t, std::size_t> recovering; ///< by rank: its entry in recoveries
  std::vector<scheduler_recovery> scheduler_recoveries;
};

} // namespace troupe
