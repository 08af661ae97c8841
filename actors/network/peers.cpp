#include "actors/network/peers.hpp"

#include "actors/shell.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe {

void say(const caf::actor& link, wire_message what) {
  tell(link, tell_peer{std::move(what)});
}

caf::actor spawn_link(caf::actor_system& system, int socket, const link_setup& setup) {
  return caf::actor_cast<caf::actor>(system.middleman().spawn_broker(connected_link, socket, setup));
}

std::string short_name(const run_id& run) {
  return fmt::format("{:02x}{:02x}{:02x}{:02x}", run[0], run[1], run[2], run[3]);
}

} // namespace troupe
