// The connector: an actor with a thread of its own that makes one connection, and may block while it does.
#pragma once

#include "actors/network/messages.hpp"
#include "runtime/network_address.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace troupe {

struct connector_setup {
  caf::actor owner;         ///< is told of peer_connected or connecting_failed
  std::uint32_t number = 0; ///< to tell it apart
  network_address address;
  std::function<network_address()> find{}; ///< if set: where to connect to instead; may block, and throw run_error
  double seconds = 10.0;                   ///< to try for, with growing pauses
  std::shared_ptr<const std::atomic<bool>> given_up;
};

void connector(caf::blocking_actor* self, const connector_setup& setup);

/// With a thread of its own.
void spawn_connector(caf::actor_system& system, const connector_setup& setup);

} // namespace troupe
