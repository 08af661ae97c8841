// The store actor: a shell around runtime/snapshot_collector.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/snapshot_collector.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>

namespace troupe {

struct store_actor_state {
  static constexpr const char* name = "store";
  std::shared_ptr<const company> everyone;
  std::optional<snapshot_collector> collector;
  std::uint64_t opened_steps = 0; ///< steps done of the newest checkpoint whose directory is there for workers
  checkpoint_route route = checkpoint_route::shared;
  std::optional<run_given_up> ending; ///< the run ends when this checkpoint is over
  checkpoint_news last_news;
  std::deque<part_written> turns; ///< through the coordinator: ranks that have asked; the first one sends its layers
  std::map<std::uint32_t, incarnation> asked; ///< by rank: the life that did so last
};

/// `route` is how parts of ranks in other processes come; a run in one process has none.
store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 checkpoint_route route, const observer& watcher);

} // namespace troupe
