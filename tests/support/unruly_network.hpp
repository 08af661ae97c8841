// A whole run under CAF's deterministic scheduler, with an unruly network between its actors: every message waits in a
// bag until chance, from a seed, delivers it, so that order is lost even between two messages of one sender; some are
// delivered twice. Some of those between ranks, and between ranks and scheduler, may be lost.
#pragma once

#include "actors/run.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace troupe::test {

/// Messages on their way.
struct message_bag {
  struct message {
    std::function<void()> deliver;
    bool may_be_lost = false;
  };
  std::vector<message> waiting;
};

/// CAF with the scheduler that runs one actor at a time, when asked.
struct deterministic_config : caf::actor_system_config {
  deterministic_config();
};

/// What happened to a run.
struct outcome {
  std::optional<run_report> report;
  std::optional<failure_message> failure;
};

/// A run whose order of events follows from `seed` alone.
class unruly_run {
public:
  unruly_run(const run_spec& spec, const data_source& data, run_options options, std::uint64_t seed);
  unruly_run(const unruly_run&) = delete;
  unruly_run& operator=(const unruly_run&) = delete;
  ~unruly_run();

  /// Delivers messages and runs actors by chance until the run ends, or nothing is left to happen (which is a hang).
  /// `before_event` is told how many have happened.
  outcome play(const std::function<void(std::uint64_t)>& before_event = [](std::uint64_t) {});
  /// From now on this share of the messages is lost, and when nothing is left to happen, virtual time goes on.
  void lose(double share) { lost_share_ = share; }
  /// Ends the actor that plays the rank now, as if its process had died.
  void kill_rank(std::uint32_t rank);
  void kill_scheduler();

  const company& everyone() const { return everyone_; }
  std::uint64_t events() const { return events_; }
  /// Messages that were.
  std::uint64_t lost() const { return lost_; }

private:
  /// One event; false when none is left.
  bool happen();
  bool let_time_pass();
  bool is_lost(const message_bag::message& one);

  std::mt19937_64 chance_;
  run_options options_;
  setup_ptr setup_;
  deterministic_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::scoped_actor observer_;
  std::shared_ptr<message_bag> bag_ = std::make_shared<message_bag>();
  std::shared_ptr<const company> relayed(const company& all);

  company everyone_;
  std::map<stage_actor, stage_actor> rank_relays_;              ///< by the actor that they stand before
  std::map<scheduler_actor, scheduler_actor> scheduler_relays_; ///< the same
  std::uint64_t events_ = 0;
  double lost_share_ = 0.0;
  std::uint64_t lost_ = 0;
  std::uint64_t time_outs_ = 0;
};

} // namespace troupe::test
