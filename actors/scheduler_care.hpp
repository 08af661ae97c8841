// What the keeper of a scheduler knows of it, to start another one when it dies.
#pragma once

#include "actors/scheduler.hpp"
#include "runtime/recovery/restart_policy.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace troupe {

struct scheduler_care {
  std::function<scheduler_actor(const scheduler_start&)> spawn;
  incarnation life = 1;
  std::optional<restart_policy> policy;
  std::string cause;                            ///< of the death that is about to be noticed
  std::shared_ptr<const scheduler_books> books; ///< null: it has not begun
  bool interrupted = false;

  /// From now on `spawn_one` makes the next one, as often as the run's faults allow.
  void begin(std::function<scheduler_actor(const scheduler_start&)> spawn_one, const faults_spec& faults) {
    spawn = std::move(spawn_one);
    policy = restart_policy::of_scheduler(faults.max_restarts, faults.restart_window_seconds);
  }
  /// No rank restarts from fewer steps done.
  std::uint64_t recovery_line() const { return books == nullptr ? 0 : books->recovery_line; }
  /// Of the death that has been noticed by now.
  std::string take_cause() {
    const std::string said = std::exchange(cause, {});
    return said.empty() ? "the scheduler ended before the run did" : said;
  }
  scheduler_actor spawn_next(const std::string& why, double noticed, const keeper_actor& keeper) {
    return spawn({++life, books, why, noticed, keeper});
  }
};

} // namespace troupe
