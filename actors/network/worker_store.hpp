// A worker's store: hands the snapshots of its ranks over to the run's checkpoint, through the coordinator.
#pragma once

#include "actors/interfaces.hpp"

#include <deque>

namespace troupe {

struct worker_store_state {
  static constexpr const char* name = "worker store";
  caf::actor coordinator;
  std::deque<layer_part> waiting; ///< the first is on its way
};

store_actor::behavior_type worker_store(store_actor::stateful_pointer<worker_store_state> self, const setup_ptr& setup,
                                        checkpoint_route route, const caf::actor& coordinator, const observer& watcher);

} // namespace troupe
