#include "actors/network/network_system.hpp"

#include "actors/network/messages.hpp"

#include <caf/io/all.hpp>

namespace troupe {

network_config::network_config(std::uint32_t threads) : run_config(threads) {
  add_message_types<caf::id_block::troupe_network>();
  load<caf::io::middleman>();
  set("middleman.enable-automatic-connections", false);
}

void close_open_doors(caf::actor_system& system) {
  system.registry().erase(caf::atom("SpawnServ"));
  system.registry().erase(caf::atom("ConfigServ"));
}

} // namespace troupe
