// What a worker or a coordinator has around it besides its peers: time, chance, threads, and the way to a connection.
// Who says nothing has those of the system; tests put their own in their place.
#pragma once

#include "actors/network/connector.hpp"
#include "actors/run.hpp"
#include "runtime/local_run.hpp"
#include "runtime/wire/control.hpp"

#include <functional>

namespace troupe {

/// From the system's source of chance.
run_id draw_run_id();

struct surroundings {
  run_clock clock = seconds_now; ///< of this process
  /// Begins to make a connection, as the connector does.
  std::function<void(caf::actor_system&, const connector_setup&)> connect = spawn_connector;
  std::function<run_id()> draw_run = draw_run_id;
  side_actors sides = side_actors::own_threads;
};

} // namespace troupe
