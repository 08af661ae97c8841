// The stage actor: one rank of the pipeline. All it knows is how messages travel; what they mean is in
// runtime/stage_runner.
#pragma once

#include "actors/interfaces.hpp"
#include "actors/rank_saboteur.hpp"

#include <optional>

namespace troupe {

struct stage_actor_state {
  static constexpr const char* name = "stage";
  std::uint32_t rank = 0;
  std::optional<stage_runner> runner;
  rank_saboteur saboteur;
  std::shared_ptr<const company> everyone;
  run_clock clock;
  bool snapshot_stays = false;     ///< the keeper is yet to be told rank_waits after the newest snapshot
  bool run_next_pending = false;   ///< a run_next_message is in the mailbox, or an alarm will send it
  bool reconsider_pending = false; ///< the same of a reconsider_message
};

/// One life of a rank.
struct stage_start {
  std::uint32_t rank = 0;
  rank_birth birth = {};
  std::shared_ptr<const rank_snapshot> snapshot = {}; ///< null: as the run began
};

/// Tells `watcher` rank_failed when it throws.
stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_actor_state> self, const setup_ptr& setup,
                                 const stage_start& start, const observer& watcher);

} // namespace troupe
