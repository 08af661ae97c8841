// The worker: hosts ranks of one run after another. It waits for a coordinator, takes what it is assigned, connects to
// the workers that its ranks exchange tensors with, and lets go of all when the run is over or its coordinator is lost.
// Then it holds the snapshots that it has for a while, for a coordinator that goes on with the run.
#pragma once

#include "actors/network/link.hpp"
#include "actors/network/surroundings.hpp"

#include <functional>
#include <memory>
#include <string>

namespace troupe {

struct worker_setup {
  std::shared_ptr<const tls_identity> tls; ///< null: none
  double peer_timeout = 5.0;               ///< seconds
  double connect_timeout = 30.0;           ///< to other workers, seconds
  double hold = 60.0; ///< seconds for which snapshots are held of a run whose coordinator was lost; 0: not at all
  std::function<void(const std::string&)> on_event;     ///< a line for people; called on one thread at a time
  std::function<void(const std::string&)> on_warning{}; ///< the same of what is wrong while the worker goes on
  surroundings outside{};
};

class worker_host;

struct worker_state {
  worker_state();
  worker_state(const worker_state&) = delete;
  worker_state& operator=(const worker_state&) = delete;
  ~worker_state();
  static constexpr const char* name = "worker";
  std::unique_ptr<worker_host> host;
};

/// Takes what links, connectors and its own ranks tell it, and leave_run, after which it answers `watcher` with
/// left_run. Needs a thread of its own: it reads from disk.
caf::behavior worker(caf::stateful_actor<worker_state>* self, const worker_setup& setup, const observer& watcher);

} // namespace troupe
