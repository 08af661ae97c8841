// The recorder actor: a shell around runtime/journal. Keeps trace and metrics, and calls the user's callbacks.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/journal.hpp"

#include <optional>

namespace troupe {

struct recorder_actor_state {
  static constexpr const char* name = "recorder";
  recorder_actor_state() = default;
  recorder_actor_state(const recorder_actor_state&) = delete;
  recorder_actor_state& operator=(const recorder_actor_state&) = delete;
  /// A run that fails may go on elsewhere.
  ~recorder_actor_state();
  std::optional<journal> log;
  run_report* so_far = nullptr; ///< where to leave what was told; or null
};

recorder_actor::behavior_type recorder(recorder_actor::stateful_pointer<recorder_actor_state> self,
                                       const setup_ptr& setup, const observer& watcher);

} // namespace troupe
