// What the coordinator knows of its workers: how it brings them from an address to a running rank, and what becomes of
// the ranks of one that is lost.
#pragma once

#include "actors/network/coordinator.hpp"
#include "actors/scheduler_care.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/recovery/snapshot_places.hpp"

#include <atomic>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

class worker_claims {
public:
  using self_pointer = caf::stateful_actor<coordinator_state>*;

  worker_claims(self_pointer self, setup_ptr setup, coordinator_setup_of_workers how, observer watcher);

  // Connecting to them (worker_claims_connecting.cpp)
  void claim();
  void connected(const peer_connected& in);
  void failed(const connecting_failed& in);
  void ready(const link_ready& in);

  void said(const peer_said& in);
  void lost(const peer_lost& in);
  void begin(const begin_run& in);
  void leave();

  // As the scheduler's keeper (worker_claims_recovery.cpp)
  void restart(const restart_order& in);
  void trim(const recovery_line_message& in);
  void give_up(const run_given_up& in);
  void judge(const complaint& in);

  // And as its own (worker_claims_scheduler.cpp)
  void member_ended(const caf::down_msg& in);
  void scheduler_is_failing(const scheduler_failed& in);
  void keep(const books_message& in) { scheduler_.books = in.books; }
  void interrupt();
  void dismiss();

private:
  /// How far a worker has come. wired: connected to all others, with ranks or to be given some.
  enum class stage { connecting, greeted, measured, assigned, wired, over };
  struct member {
    explicit member(network_address where) : address(std::move(where)) {}

    network_address address;
    caf::actor link; ///< null before and after
    stage at = stage::connecting;
    std::optional<std::uint32_t> worker; ///< its number in the placement, once it has one
    std::uint64_t joined_version = 1;    ///< of the placement that it first was in
    std::uint64_t connected_version = 0; ///< of the newest placement all of which it is connected to
    std::uint32_t probes_left = 8;
    double best_round_trip = std::numeric_limits<double>::infinity();
    double clock_offset = 0.0; ///< added to its clock gives the run's
    snapshots_held held;       ///< as it said when it was asked
  };
  /// A rank that is on its way to live again.
  struct restarting {
    restart_order order;
    std::uint32_t worker = 0;            ///< that is to host it
    std::optional<std::uint32_t> source; ///< that was asked for its snapshot; nothing: none is needed, or it is there
  };

  member* find(const caf::actor& link);
  member& holder_of(std::uint32_t worker);
  std::string name_of_member(const member& one) const;
  void said_by(member& from, const hello& in);
  void said_by(member& from, const clock_answer& in);
  void said_by(member& from, const assignment_taken&);
  void said_by(member& from, const neighbours_connected& in);
  void said_by(member& from, const link_lost& in);
  void said_by(member& from, const refusal& in);
  void said_by(member& from, const failure_message& in);
  void said_by(member& from, const worker_warning& in);
  void said_by(member& from, const parameter_request& in);
  void said_by(member& from, const snapshot_kept& in);
  void said_by(member& from, const rank_lost& in);
  void said_by(member& from, const rank_hosted& in);
  void said_by(member& from, const snapshots_held& in);
  template <class Message>
  void said_by(member& from, const Message&);

  // worker_claims_connecting.cpp
  void claim_next();
  void connect(std::uint32_t index);

  void reach(member& one, stage now);
  bool all_at(stage least) const;
  void assign_all_when_measured();
  assignment assignment_for(std::uint32_t worker) const;
  void tell_ready();
  bool puts_off() const;
  void hear_what_was_put_off();
  void open_routes_to(const member& one) const;
  void lose_before_start(member& one, error_kind kind, const std::string& text);
  void fail(error_kind kind, const std::string& text);
  void tell_when_left();
  void note(const std::string& text) const;

  // worker_claims_recovery.cpp
  bool restarts() const { return setup_->spec.faults.snapshot_every != 0; }
  void lose(member& one, const std::string& reason, double silent_for);
  void lose_ranks_of(std::uint32_t worker, const std::string& cause, double silent_for);
  void look_for_successor(const network_address& lost);
  void assign_joiner(member& one);
  void connect_joiner(member& one);
  void admit_joiners();
  bool is_connected(const member& joiner) const;
  void tell_of_new_company();
  void tell_placement();
  void find_snapshot(restarting& one);
  placement planned() const;
  std::vector<std::uint32_t> choose_savers();
  void tell_store_of_savers();
  void save_elsewhere(std::uint32_t lost);
  void tell_state_lost(const std::string& cause);

  // What workers still hold of a run that goes on (worker_claims_held.cpp)
  void choose_start();
  void tell_why_not_from_held(std::optional<std::uint64_t> whole) const;
  std::string why_nothing_is_held() const;
  void fetch_held();
  void note_hosted(member& from, const rank_hosted& in);
  void tell_ready_when_hosted();

  // worker_claims_scheduler.cpp
  void watch_scheduler(const begin_run& in);
  void tell_scheduler_lost(const rank_lost& in);
  void restart_scheduler(const std::string& cause, double now);
  void introduce_scheduler();
  void ask_ranks_again() const;

  self_pointer self_;
  setup_ptr setup_;
  coordinator_setup_of_workers how_;
  observer watcher_;
  run_id run_{};
  wire_limits limits_;                  ///< of what workers may send
  std::deque<member> members_;          ///< those who are over among them
  std::deque<std::uint32_t> unclaimed_; ///< in the order in which they are claimed, before the run begins
  placement where_;
  snapshot_places snapshots_;
  state_key key_;
  std::uint64_t first_step_;                       ///< steps done when the run begins
  bool from_held_ = false;                         ///< it begins with snapshots that workers have held
  std::set<std::uint32_t> hosted_;                 ///< then: ranks that have theirs
  std::map<std::uint32_t, restarting> restarting_; ///< by rank
  std::shared_ptr<std::atomic<bool>> given_up_;
  std::uint32_t connecting_ = 0;        ///< connectors whose answer is due
  std::map<std::string, shape> shapes_; ///< of all parameters, once one was asked for
  tensor_pool pool_;
  company everyone_; ///< once the run has begun
  scheduler_care scheduler_;
  bool scheduler_lives_ = false;
  std::map<std::uint32_t, rank_lost> lost_;     ///< by rank: deaths that the scheduler has not answered yet
  std::map<std::uint32_t, snapshot_kept> kept_; ///< by rank: the newest that was told
  std::optional<run_given_up> ending_;
  std::map<std::uint32_t, std::uint32_t> saving_; ///< by rank: the worker that was asked to save it at the end
  bool line_moved_ = false;                       ///< no rank starts as the run began any more
  bool assigned_ = false;
  bool ready_ = false;                                      ///< the watcher was told, and is to begin the run
  std::vector<std::variant<peer_said, peer_lost>> put_off_; ///< what happens in between, which happens to the run
  bool running_ = false;
  bool failed_ = false;
  bool leaving_ = false;
  bool dismissed_ = false; ///< and ends itself when it has let go of everyone
};

} // namespace troupe
