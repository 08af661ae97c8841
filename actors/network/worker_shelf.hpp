// A worker's shelf: keeps snapshots of ranks, of its own ones and of some that live on other workers, and sends those
// of its own ranks to where they are kept, too. For the ranks of its process it is their keeper.
#pragma once

#include "actors/network/messages.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"

#include <map>
#include <memory>
#include <vector>

namespace troupe {

struct worker_shelf_state {
  static constexpr const char* name = "shelf";
  caf::actor coordinator;
  caf::actor owner;
  std::vector<caf::actor> replicas; ///< by rank: who keeps its snapshots, too; null: nobody
  snapshot_shelf shelf;
  /// By rank: to its replica, as soon as the rank waits.
  std::map<std::uint32_t, std::shared_ptr<const rank_snapshot>> leaving;
  std::map<std::uint32_t, rank_snapshot> arriving; ///< by rank: layers that other workers have sent so far
  std::vector<snapshot_wanted> wanted;             ///< by the owner, not here yet
};

/// Takes rank_snapshot, rank_waits, snapshot_part, recovery_line_message, snapshot_routes, snapshot_wanted (which it
/// answers to `owner` with snapshot_here), send_snapshot, save_snapshot and hand_over. Tells the coordinator of what it
/// keeps, but for snapshots of its own ranks that a replica keeps as well: that one tells of them. `held`: what it
/// begins with.
caf::behavior worker_shelf(caf::stateful_actor<worker_shelf_state>* self, const caf::actor& coordinator,
                           const caf::actor& owner, const snapshot_shelf& held, const setup_ptr& setup,
                           const observer& watcher);

} // namespace troupe
