// The store actor: a shell around runtime/snapshot_collector.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/snapshot_collector.hpp"

#include <memory>
#include <optional>

namespace troupe {

struct store_actor_state {
  static constexpr const char* name = "store";
  std::shared_ptr<const company> everyone;
  std::optional<snapshot_collector> collector;
  std::uint64_t opened_steps = 0; ///< steps done of the newest checkpoint whose directory is there for workers
};

store_actor::behavior_type store(store_actor::stateful_pointer<store_actor_state> self, const setup_ptr& setup,
                                 const observer& watcher);

} // namespace troupe
