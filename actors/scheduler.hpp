// The scheduler actor: a shell around runtime/step_coordinator.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/recovery/stall_watch.hpp"
#include "runtime/step_coordinator.hpp"

#include <optional>

namespace troupe {

struct scheduler_actor_state {
  static constexpr const char* name = "scheduler";
  std::optional<step_coordinator> coordinator;
  std::shared_ptr<const company> everyone;
  stall_watch stalls;
};

scheduler_actor::behavior_type scheduler(scheduler_actor::stateful_pointer<scheduler_actor_state> self,
                                         const setup_ptr& setup, const observer& watcher);

} // namespace troupe
