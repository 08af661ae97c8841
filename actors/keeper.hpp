// The keeper actor: watches the ranks of this process, holds their snapshots, and starts them again when the
// scheduler says so. It watches the scheduler, too, holds its books, and starts it again by itself.
#pragma once

#include "actors/interfaces.hpp"
#include "actors/scheduler_care.hpp"
#include "actors/stage.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// How a company looks to those who are told of it; tests put actors that disturb the traffic in between.
using company_view = std::function<std::shared_ptr<const company>(const company&)>;

struct keeper_setup {
  /// Makes an actor for a rank; it begins with its introduction.
  std::function<stage_actor(const stage_start&, const observer&)> spawn;
  /// The same of the scheduler.
  std::function<scheduler_actor(const scheduler_start&)> spawn_scheduler;
  company_view view;
};

struct keeper_actor_state {
  static constexpr const char* name = "keeper";
  keeper_setup how;
  company everyone;
  snapshot_shelf shelf;
  std::vector<incarnation> lives;               ///< by rank
  std::map<std::uint32_t, rank_failed> failing; ///< by rank: whose death is about to be noticed
  std::map<std::uint32_t, rank_lost> lost;      ///< by rank: deaths that the scheduler has not answered yet
  scheduler_care scheduler;
  std::size_t alive = 0;
  bool given_up = false;   ///< the run ends: nobody is started again
  bool dismissing = false; ///< and the ranks were told to
};

/// The ranks that `everyone` had at first are the keeper's own; it learns of everyone by its introduction.
keeper_actor::behavior_type keeper(keeper_actor::stateful_pointer<keeper_actor_state> self, const setup_ptr& setup,
                                   const keeper_setup& how, const observer& watcher);

} // namespace troupe
