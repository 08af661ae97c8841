// A worker's store: writes the snapshots of its ranks into the run's checkpoint, in a directory that all see, or
// through the coordinator.
#pragma once

#include "actors/interfaces.hpp"

#include <cstddef>
#include <deque>

namespace troupe {

struct worker_store_state {
  static constexpr const char* name = "worker store";
  checkpoint_route route = checkpoint_route::shared;
  caf::actor coordinator;
  struct waiting {
    rank_snapshot snapshot;
    std::size_t sent = 0; ///< layers, through the coordinator
  };
  std::deque<waiting> unwritten; ///< until the coordinator says that their turn has come
};

store_actor::behavior_type worker_store(store_actor::stateful_pointer<worker_store_state> self, const setup_ptr& setup,
                                        checkpoint_route route, const caf::actor& coordinator, const observer& watcher);

} // namespace troupe
