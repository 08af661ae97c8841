// What happens in one simulated training over several processes: a small run, its workers, and the faults that strike
// them. All of it follows from a seed.
#pragma once

#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"
#include "tests/simulation/simulated_cluster.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe::test {

enum class network_strike_kind : std::uint8_t {
  worker_dies,      ///< and its connections are closed
  machine_dies,     ///< a worker's; nobody is told
  worker_freezes,   ///< its bytes still arrive at its machine
  rank_dies,        ///< the actor alone
  coordinator_dies, ///< and another process goes on with the run
  coordinator_freezes,
  scheduler_dies,
  connection_breaks, ///< both ends get a part of what is under way
  connection_stalls  ///< nothing arrives for a while
};

struct network_strike {
  network_strike_kind what = network_strike_kind::worker_dies;
  std::uint64_t event = 0;
  std::uint32_t whom = 0; ///< a number that the worker, rank or connection is chosen by
  double seconds = 0.0;   ///< it lasts; of a death: until a process takes the place
  double part = 0.0;      ///< of the bytes that still arrive
};

struct network_scenario {
  std::uint64_t seed = 0;
  run_spec spec; ///< its checkpoint directory, if any, is relative to the scratch directory
  checkpoint_route checkpoints = checkpoint_route::shared;
  std::uint32_t workers = 2; ///< those beyond the ranks are spares
  cluster_pace pace;
  double peer_timeout = 1.0;
  double hold = 20.0;
  std::vector<network_strike> strikes; ///< by event
};

network_scenario draw_network_scenario(std::uint64_t seed);
std::string to_text(network_strike_kind kind);
/// In some lines, for people.
std::string to_text(const network_scenario& drawn);

} // namespace troupe::test
