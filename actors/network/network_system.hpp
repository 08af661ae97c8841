// CAF with its middleman, for processes that talk to others. Only brokers of ours use it.
#pragma once

#include "actors/system.hpp"

#include <cstdint>

namespace troupe {

struct network_config : run_config {
  explicit network_config(std::uint32_t threads);
};

/// Takes down CAF's own servers, which would let a peer spawn actors and change settings. Call it first.
void close_open_doors(caf::actor_system& system);

} // namespace troupe
