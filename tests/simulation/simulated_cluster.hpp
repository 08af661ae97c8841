// Several processes in one: their actors on CAF's deterministic scheduler, simulated connections between them, virtual
// time. What happens next, one act at a time, follows from a seed. A process can die, or stop for a while, between any
// two acts.
#pragma once

#include "actors/network/connector.hpp"
#include "actors/network/surroundings.hpp"
#include "runtime/schedule/search/dice.hpp"
#include "tests/simulation/event_log.hpp"
#include "tests/simulation/simulated_wire.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace troupe::test {

/// How time and bytes go.
struct cluster_pace {
  double seconds_per_event = 1e-6;
  double in_order = 0.0; ///< of the events: what could have happened first does
  double cut = 0.2;      ///< of the moves of bytes: only a part of them moves
};

/// How the others get to know of a process's death.
enum class process_death : std::uint8_t {
  told,  ///< its machine lives on and closes its connections
  silent ///< its machine is gone as well
};

class cluster {
public:
  /// Sees what an actor is about to handle; null: it begins or ends.
  using onlooker = std::function<void(process_number, const caf::local_actor&, const caf::type_erased_tuple*)>;

  cluster(std::uint64_t seed, const cluster_pace& pace, event_log& log);
  cluster(const cluster&) = delete;
  cluster& operator=(const cluster&) = delete;
  ~cluster();

  /// Ends all actors. Nothing can happen any more.
  void end();

  /// Begins a process. Its clock shows `clock_offset` more than virtual time.
  process_number start(const std::string& name, double clock_offset);
  /// What its actors take for the system around them.
  surroundings around(process_number who);
  caf::scoped_actor& main_of(process_number who) { return *processes_.at(who).main; }
  /// Does something in the process, as its main thread would.
  void within(process_number who, const std::function<void()>& act);

  void kill(process_number who, process_death how);
  /// A machine is there again: who still speaks to its former processes learns that they are gone.
  void end_silence(process_number former);
  void freeze(process_number who, double seconds);
  bool lives(process_number who) const { return processes_.at(who).alive; }
  bool runs(process_number who) const;
  const std::string& name_of(process_number who) const { return processes_.at(who).name; }

  /// One act, or, when none is possible, some time passes.
  void happen();
  void watch(onlooker seen) { seen_ = std::move(seen); }
  std::uint64_t events() const { return events_; }
  double now() const; ///< virtual seconds
  dice& chance() { return chance_; }

  caf::actor_system& system() { return system_; }
  simulated_wire& wire() { return wire_; }
  /// The actors of a process that have not ended.
  std::vector<caf::abstract_actor*> actors_of(process_number who) const;

private:
  struct process {
    std::string name;
    bool alive = true;
    double frozen_until = 0.0;
    double clock_offset = 0.0;
    std::unique_ptr<caf::scoped_actor> main;
    std::vector<caf::strong_actor_ptr> actors; ///< all that it ever had
  };
  /// A connection that a process tries to make.
  struct attempt {
    process_number who = 0;
    connector_setup setup;
    double deadline = 0.0;
    double next = 0.0;
    double pause = 0.0;
  };
  struct config : caf::actor_system_config {
    config();
  };

  void adopt();
  void try_attempt(std::size_t place);
  void run_job(std::size_t place);
  void pass_time(double seconds);
  double clock_of(process_number who) const;

  dice chance_;
  cluster_pace pace_;
  event_log& log_;
  simulated_wire wire_;
  config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  simulated_multiplexer& caf_;
  std::vector<process> processes_; ///< the zeroth is CAF itself
  std::unordered_map<const caf::resumable*, process_number> owner_;
  std::deque<caf::resumable*> dead_jobs_;
  std::vector<attempt> attempts_;
  onlooker seen_;
  std::uint64_t events_ = 0;
  std::uint8_t runs_drawn_ = 0;
  mutable std::uint64_t looks_ = 0; ///< at clocks, which go on a little with each
};

} // namespace troupe::test
