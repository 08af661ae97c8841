// Small acts that the worker and the coordinator share.
#pragma once

#include "actors/network/link.hpp"

#include <string>

namespace troupe {

/// Says something to the peer at the other end.
void say(const caf::actor& link, wire_message what);

/// Makes a link of a connected socket.
caf::actor spawn_link(caf::actor_system& system, int socket, const link_setup& setup);

/// Eight digits of a run's id, for people.
std::string short_name(const run_id& run);

} // namespace troupe
