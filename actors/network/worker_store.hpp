// A worker's store: writes the snapshots of its ranks into the run's checkpoint, in a directory that all see, or
// through the coordinator.
#pragma once

#include "actors/interfaces.hpp"

#include <deque>

namespace troupe {

struct worker_store_state {
  static constexpr const char* name = "worker store";
  checkpoint_route route = checkpoint_route::shared;
  caf::actor coordinator;
  std::deque<layer_part> layers;       ///< through the coordinator: the first is on its way
  std::deque<rank_snapshot> unwritten; ///< shared: until the coordinator has made the directory
};

store_actor::behavior_type worker_store(store_actor::stateful_pointer<worker_store_state> self, const setup_ptr& setup,
                                        checkpoint_route route, const caf::actor& coordinator, const observer& watcher);

} // namespace troupe
