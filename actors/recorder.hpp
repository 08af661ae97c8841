// The recorder actor: a shell around runtime/journal. Keeps trace and metrics, and calls the user's callbacks.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/journal.hpp"

#include <optional>

namespace troupe {

struct recorder_actor_state {
  static constexpr const char* name = "recorder";
  std::optional<journal> log;
};

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_actor_state> self,
                                       const setup_ptr& setup, const observer& watcher);

} // namespace troupe
