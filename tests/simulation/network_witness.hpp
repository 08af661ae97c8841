// Sees what every actor of a simulated cluster is about to handle, and holds it against the promises of the actors over
// the network (docs/simulation.md lists them). Remembers the first one that was broken.
#pragma once

#include "tests/simulation/event_log.hpp"
#include "tests/simulation/ledger.hpp"
#include "tests/simulation/simulated_coordinator.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

class network_witness {
public:
  network_witness(cluster& all, event_log& log);

  /// From now on this one has the run.
  void follow(const simulated_coordinator& head);
  /// Workers that were asked to hand over what is to be held.
  std::uint64_t held() const { return handed_over_; }
  /// Empty: everything was as promised.
  const std::string& problem() const { return problem_; }
  /// Steps done in the snapshots that ranks would live again from; 0: from what the run began with.
  std::uint64_t needed() const { return std::max(line_, held_start_); }

private:
  void see(process_number where, const caf::local_actor& who, const caf::type_erased_tuple* what);
  void see_content(const caf::type_erased_tuple& what);
  void see_order(const caf::local_actor& who, const caf::type_erased_tuple& what);
  void see_shelf(const caf::local_actor& who, const caf::type_erased_tuple* what);
  void see_kept(process_number where, const caf::type_erased_tuple& what);
  void see_held(process_number where, const caf::type_erased_tuple& what);
  void see_start(const caf::type_erased_tuple& what);
  void expect_newest(const assignment& of);
  process_number worker_behind(const caf::actor& link) const;
  template <class Message>
  void expect_same(ledger::entry what, const Message& in, std::uint64_t part, std::uint64_t microbatch,
                   std::uint64_t number);
  void expect(bool holds, const std::string& promise);
  std::string text_of(const caf::local_actor& who, const caf::type_erased_tuple* what) const;

  cluster& all_;
  event_log& log_;
  std::string problem_;
  const simulated_coordinator* head_ = nullptr;
  std::uint64_t attempt_ = 0; ///< of the coordinator, as far as the maps below are about it
  ledger said_;               ///< by anybody, ever
  std::uint64_t line_ = 0;
  std::map<std::uint32_t, incarnation> ordered_;                   ///< by rank: its newest life
  std::map<const caf::local_actor*, std::uint64_t> shown_;         ///< by link: the newest placement
  std::map<const caf::local_actor*, std::uint64_t> line_of_shelf_; ///< that it has handled
  std::map<process_number, std::vector<held_snapshot>> held_;      ///< by worker: what its shelf has handed over
  std::map<caf::actor_addr, std::vector<held_snapshot>> offered_;  ///< by link: held by those who answered the head
  bool asked_ = false;                                             ///< the head, for what is held, since it assigned
  std::uint64_t held_start_ = 0; ///< steps done in what is held and begun with; 0: none
  std::uint64_t handed_over_ = 0;
};

} // namespace troupe::test
