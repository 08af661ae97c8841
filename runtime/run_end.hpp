// What is said of a run's end when its last state could not be saved, either.
#pragma once

#include "runtime/traffic.hpp"

#include <string>

namespace troupe {

/// The line that ends a run for `cause`.
inline std::string with_failed_checkpoint(const std::string& cause, const checkpoint_failed& failed) {
  return cause + "; the checkpoint after step " + std::to_string(failed.steps_done) + " failed: " + failed.reason;
}

} // namespace troupe
