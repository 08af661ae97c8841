// The listener: a broker that accepts connections at one address and makes a link of each, unless there are too many of
// strangers.
#pragma once

#include "actors/network/link.hpp"
#include "runtime/network_address.hpp"

#include <cstdint>

namespace troupe {

struct listener_state {
  static constexpr const char* name = "listener";
  newcomer_places places;
};

/// Opens `address`, the user's --listen. Throws spec_error naming it and the system's reason. `address.port` 0 takes a
/// free one; the number in force is in the answer.
struct open_listener {
  caf::actor broker;
  std::uint16_t port = 0;
};
open_listener listen(caf::actor_system& system, const network_address& address, const link_setup& links);
/// The same, where somebody has opened it.
open_listener listen(caf::actor_system& system, const caf::io::doorman_ptr& doorman, const link_setup& links);

} // namespace troupe
