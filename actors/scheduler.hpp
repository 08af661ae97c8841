// The scheduler actor: a shell around runtime/step_coordinator.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/faults/chaos_queries.hpp"
#include "runtime/recovery/run_log.hpp"
#include "runtime/recovery/stall_watch.hpp"
#include "runtime/step_coordinator.hpp"

#include <optional>

namespace troupe {

struct scheduler_actor_state {
  static constexpr const char* name = "scheduler";
  std::optional<step_coordinator> coordinator;
  std::shared_ptr<const company> everyone;
  std::optional<run_log> log; ///< of a run with checkpoints
  stall_watch stalls;
  bool told_of_wait = false; ///< that an interrupted run waits
  scheduler_chaos chaos;
  keeper_actor keeper; ///< who starts it again; null: nobody
  observer watcher;
};

/// One life of the scheduler.
struct scheduler_start {
  incarnation life = 1;
  std::shared_ptr<const scheduler_books> books = {}; ///< of its predecessor; null: the run begins
  std::string cause = {};                            ///< of its predecessor's death
  double noticed = 0.0;                              ///< that death, in seconds of the run's clock
  keeper_actor keeper = {};                          ///< who starts it again; null: nobody
};

scheduler_actor::behavior_type scheduler(scheduler_actor::stateful_pointer<scheduler_actor_state> self,
                                         const setup_ptr& setup, const scheduler_start& start, const observer& watcher);

} // namespace troupe
