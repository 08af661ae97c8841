// What a worker knows and does: at most one run at a time.
#pragma once

#include "actors/alarm_clock.hpp"
#include "actors/network/remote_parameters.hpp"
#include "actors/network/worker.hpp"
#include "actors/stage.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/run_options.hpp"

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

class worker_host {
public:
  using self_pointer = caf::stateful_actor<worker_state>*;

  worker_host(self_pointer self, worker_setup setup, observer watcher);

  void ready(const link_ready& in);
  void said(const peer_said& in);
  void lost(const peer_lost& in);
  void connected(const peer_connected& in);
  void failed(const connecting_failed& in);
  void rank_is_failing(const rank_failed& in);
  void member_failed(const failure_message& in);
  void member_ended(const caf::down_msg& in);
  void found(const snapshot_here& in);
  void warned(const run_warning& in) const;
  void hold(const shelf_content& in);
  void hold_no_longer(const holding_over& in);
  /// Lets go of everything, then tells the watcher.
  void end();

private:
  /// A run that ranks are hosted for, from the coordinator's hello until all its actors have ended.
  struct hosted_run {
    run_id id{};
    caf::actor coordinator;
    std::optional<assignment> task;                  ///< its placement is the newest that is known
    std::map<std::uint32_t, caf::actor> neighbours;  ///< by worker: links that are open
    std::map<std::uint32_t, caf::actor> introducing; ///< by worker: links whose other end has not answered yet
    std::set<std::uint32_t> called;                  ///< workers that a connection was sought to
    bool connecting = false;                         ///< connect_neighbours came
    std::uint64_t connected_version = 0; ///< of the newest placement all of which we said to be connected to
    bool leaving = false;
    bool handing_over = false; ///< the shelf was asked for what it has, and has not answered
    run_options options;
    std::optional<checkpoint> start;             ///< of a resumed run that sees the directory
    std::optional<remote_parameters> read_there; ///< of one that does not
    setup_ptr setup;
    wire_limits limits; ///< of what others may send
    std::shared_ptr<std::atomic<double>> clock_offset;
    company here; ///< the actors of this run that live here
    caf::actor shelf;
    caf::actor nobody;                              ///< in place of a rank that nobody hosts just now
    std::shared_ptr<const company> everyone;        ///< as our ranks see it
    std::map<std::uint32_t, incarnation> lives;     ///< of the ranks that live here
    std::map<std::uint32_t, rank_failed> failing;   ///< by rank: whose death is about to be noticed
    std::map<std::uint32_t, restart_order> waiting; ///< by rank: until its snapshot is here
    bool started = false;
    std::vector<caf::actor> alive;
    std::unique_ptr<alarm_clock> alarm;
    std::shared_ptr<std::atomic<bool>> given_up;
  };

  void said_by(const caf::actor& link, const hello& in);
  void said_by(const caf::actor& link, const assignment& in);
  void said_by(const caf::actor& link, const connect_neighbours& in);
  void said_by(const caf::actor& link, const start_ranks& in);
  void said_by(const caf::actor& link, const placement& in);
  void said_by(const caf::actor& link, const restart_order& in);
  void said_by(const caf::actor& link, const snapshot_request& in);
  void said_by(const caf::actor& link, const save_request& in);
  void said_by(const caf::actor& link, const held_request& in);
  void said_by(const caf::actor& link, const release& in);
  void said_by(const caf::actor& link, const clock_probe& in);
  void said_by(const caf::actor& link, const parameter_answer& in);
  void said_by(const caf::actor& link, const refusal& in);
  /// Anything else breaks the protocol.
  template <class Message>
  void said_by(const caf::actor& link, const Message& in);

  void claim(const caf::actor& link, const hello& in);
  void greet_neighbour(const caf::actor& link, const hello& in);
  bool from_coordinator(const caf::actor& link) const;
  void refuse(const caf::actor& link, error_kind kind, const std::string& text);
  void admit_neighbour(std::uint32_t worker, const caf::actor& link);
  void tell_when_connected();
  void open_start(const assignment& in);
  bool is_partner(std::uint32_t worker) const;
  bool connected_to_all() const;
  void call(std::uint32_t worker);
  void call_others();
  caf::actor link_to(std::uint32_t worker) const;

  // The ranks that live here (worker_host_ranks.cpp)
  void spawn_members();
  void watch(const caf::actor& member);
  void host(const stage_start& start);
  void open_routes_to(const caf::actor& link) const;
  void open_all_routes() const;
  void begin_ranks();
  void await_snapshot(const restart_order& of);
  void start_again(const restart_order& in, const std::shared_ptr<const rank_snapshot>& from);
  rank_birth with_newest_lives(rank_birth birth) const;
  void show_successors(const std::vector<std::pair<std::uint32_t, incarnation>>& successors);
  std::shared_ptr<const company> seen_from_here() const;
  void route_snapshots() const;
  void rank_ended(std::uint32_t rank, const std::string& reason);
  bool restarts() const { return run_->task->spec.faults.snapshot_every != 0; }
  void drop(std::uint32_t worker);

  // What is held of a run whose coordinator was lost (worker_host_holding.cpp)
  bool may_hold() const;
  snapshot_shelf take_held(const assignment& in);
  void host_from_held(const restart_order& order, const std::shared_ptr<const rank_snapshot>& from);
  void drop_held(const std::string& why);

  void leave();
  void forget_if_over();
  void admit_next();
  hello introduction_of(peer_role role, std::uint32_t target) const;
  std::string place_of(std::uint32_t worker) const;
  void note(const std::string& text) const;

  self_pointer self_;
  worker_setup setup_;
  observer watcher_;
  std::optional<hosted_run> run_;
  /// A coordinator that came while the run before was let go of.
  struct next_claim {
    caf::actor link;
    hello said;
  };
  std::optional<next_claim> next_;
  struct held_run {
    run_id id{};
    state_key key;
    snapshot_shelf shelf;
    std::uint64_t number = 0;
    bool time_is_over = false; ///< while a coordinator was deciding whether it wants them
  };
  std::optional<held_run> held_;
  std::uint64_t holdings_ = 0;
  bool ending_ = false;
};

} // namespace troupe
