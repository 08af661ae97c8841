// How CAF is set up: for one run, or for a process that hosts several.
#pragma once

#include "actors/messages.hpp"

#include <cstdint>

namespace troupe {

/// No configuration file is read: what happens follows from the run spec alone.
struct run_config : caf::actor_system_config {
  explicit run_config(std::uint32_t threads);
};

/// CAF cannot recover from a thread that does not start, so this asks the system before. Throws run_error unless all
/// threads of a run can be started, `ranks_threads` of them for ranks.
void expect_threads(std::uint32_t ranks_threads);

} // namespace troupe
