// A whole run under CAF's deterministic scheduler, with an unruly network between its actors: every message waits in a
// bag until chance, from a seed, delivers it, so that order is lost even between two messages of one sender; some are
// delivered twice. Some of those between ranks, and between ranks and scheduler, may be lost. Time is virtual.
#pragma once

#include "actors/run.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe::test {

/// CAF with the scheduler that runs one actor at a time, when asked.
struct deterministic_config : caf::actor_system_config {
  deterministic_config();
};

/// What happened to a run.
struct outcome {
  std::optional<run_report> report;
  std::optional<failure_message> failure;
};

enum class actor_role : std::uint8_t { rank, scheduler, keeper, recorder, store };

/// One life of an actor of the company.
struct actor_name {
  actor_role role = actor_role::rank;
  std::uint32_t rank = 0; ///< of ranks
  incarnation life = 1;

  friend bool operator==(const actor_name&, const actor_name&) = default;
};

/// A message, whatever its type.
using message_content = caf::type_erased_tuple;

/// The message, if it is of this type; else null.
template <class Message>
const Message* message_if(const message_content& what) {
  return what.match_elements<Message>() ? &what.get_as<Message>(0) : nullptr;
}

/// What becomes of a message that chance picked out of the bag. stays: it arrives, and will do so once more.
enum class bag_fate : std::uint8_t { arrives, stays, lost };

/// Is told of all that happens in a run, in its order, and can look at everybody meanwhile. Changes nothing.
class onlooker {
public:
  onlooker() = default;
  onlooker(const onlooker&) = delete;
  onlooker& operator=(const onlooker&) = delete;
  virtual ~onlooker() = default;

  /// A message to a rank or a scheduler was sent: it waits in the bag.
  virtual void sent(const actor_name& /*to*/, const message_content& /*what*/) {}
  /// Chance picked it; `overtook`: one to the same actor that had waited longer.
  virtual void picked(const actor_name& /*to*/, const message_content& /*what*/, bag_fate, bool /*overtook*/) {}
  /// An actor is about to handle a message, or has done so. Null: it just begins or ends.
  virtual void before(const actor_name& /*who*/, const message_content* /*what*/) {}
  virtual void after(const actor_name& /*who*/) {}
  /// Nothing was left to happen, so that time went on.
  virtual void waited() {}
};

/// How the network, and the order in which actors get their turn, behave. Shares are of messages or events.
struct unruliness {
  double duplicated = 0.1;
  double lost = 0.0;               ///< when nothing is left to happen, virtual time goes on
  double in_order = 0.0;           ///< of the events: what has waited longest happens
  double seconds_per_event = 1e-6; ///< of virtual time
  /// A message reaches whoever plays its receiver by then, as over a network; else who did when it was sent, and with
  /// that one's death it is lost.
  bool to_successors = false;
  std::optional<actor_name> starved = {}; ///< gets its turn, and its messages, rarely; `life` does not matter
};

/// A run whose order of events follows from `seed` alone.
class unruly_run {
public:
  unruly_run(const run_spec& spec, const data_source& data, run_options options, std::uint64_t seed,
             const unruliness& how = {}, onlooker* watching = nullptr);
  unruly_run(const unruly_run&) = delete;
  unruly_run& operator=(const unruly_run&) = delete;
  ~unruly_run();

  /// Delivers messages and runs actors by chance until the run ends, is stopped, or nothing is left to happen (which
  /// is a hang). `before_event` is told how many have happened.
  outcome play(const std::function<void(std::uint64_t)>& before_event = [](std::uint64_t) {});
  /// Ends play() after the event that happens.
  void stop() { stopped_ = true; }
  /// From now on this share of the messages is lost.
  void lose(double share) { how_.lost = share; }
  /// Ends the actor that plays the rank now, as if its process had died.
  void kill_rank(std::uint32_t rank);
  void kill_scheduler();

  const company& everyone() const { return everyone_; }
  const run_setup& setup() const { return *setup_; }
  std::uint64_t events() const { return events_; }
  /// Messages that were.
  std::uint64_t lost() const { return lost_; }
  /// Seconds of the run's clock.
  double now() const;

  /// What the actor knows; null when it has ended.
  const stage_actor_state* state_of_rank(std::uint32_t rank) const;
  const scheduler_actor_state* state_of_scheduler() const;
  const keeper_actor_state* state_of_keeper() const;

private:
  class relay;
  struct message {
    caf::strong_actor_ptr target;
    actor_name to;
    caf::message what;
    bool may_be_lost = false;
  };

  void hear();
  /// One event; false when none is left.
  bool happen();
  bool let_time_pass();
  std::size_t pick();
  std::size_t any_of(std::size_t choices);
  bool happens(double share);
  bool is_starved(std::size_t choice) const;
  void run_job(std::size_t place);
  void settle(const caf::resumable* ran);
  void deliver(std::size_t place);
  bag_fate fate_of(const message& one);
  caf::strong_actor_ptr receiver_of(const message& one) const;
  actor_name name_of(const caf::resumable* job) const;
  void put(const caf::strong_actor_ptr& target, const actor_name& to, caf::message what);
  std::shared_ptr<const company> relayed(const company& all);
  template <class Handle>
  Handle relay_of(const Handle& target, actor_role role, std::uint32_t rank);

  std::mt19937_64 chance_;
  run_options options_;
  unruliness how_;
  onlooker* watching_;
  deterministic_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::shared_ptr<run_setup> setup_;
  caf::scoped_actor observer_;
  std::vector<message> bag_;

  company everyone_;
  struct relayed_actor {
    actor_name name;
    caf::strong_actor_ptr actor; ///< kept, so that no other one gets its address
    caf::strong_actor_ptr relay; ///< null: it gets its messages directly
  };
  std::unordered_map<const caf::abstract_actor*, relayed_actor> known_;
  std::vector<incarnation> lives_; ///< by rank
  incarnation scheduler_life_ = 0;
  outcome seen_;
  bool stopped_ = false;
  std::uint64_t events_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t time_outs_ = 0;
  mutable std::uint64_t looks_ = 0; ///< at the clock, which goes on a little with each
};

} // namespace troupe::test
