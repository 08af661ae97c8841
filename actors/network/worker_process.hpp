// A process that is a worker: listens, hosts ranks of one run after another, until it is told to end.
#pragma once

#include "actors/network/worker.hpp"
#include "runtime/network_address.hpp"

#include <atomic>
#include <cstdint>
#include <functional>

namespace troupe {

struct worker_process_setup {
  network_address listen; ///< port 0: a free one
  worker_setup worker;
  std::function<void(const network_address&)> on_listening; ///< with the port in force
  const std::atomic<int>* interrupts = nullptr;             ///< above 0: let go of the run, and return
};

/// Returns when interrupted. Throws spec_error when it cannot listen.
void run_worker(const worker_process_setup& setup);

} // namespace troupe
