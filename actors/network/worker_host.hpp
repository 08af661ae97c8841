// What a worker knows and does: at most one run at a time.
#pragma once

#include "actors/alarm_clock.hpp"
#include "actors/network/remote_parameters.hpp"
#include "actors/network/worker.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/run_options.hpp"

#include <atomic>
#include <map>
#include <optional>
#include <set>
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
  void member_failed(const failure_message& in);
  void member_ended(const caf::actor_addr& who);
  /// Lets go of everything, then tells the watcher.
  void end();

private:
  /// A run that ranks are hosted for, from the coordinator's hello until all its actors have ended.
  struct hosted_run {
    run_id id{};
    caf::actor coordinator;
    std::optional<assignment> task;
    std::set<std::uint32_t> partners;                ///< workers that our ranks exchange tensors with
    std::map<std::uint32_t, caf::actor> neighbours;  ///< by worker: links that are open
    std::map<std::uint32_t, caf::actor> introducing; ///< by worker: links whose other end has not answered yet
    bool connecting = false;                         ///< connect_neighbours came
    bool connected_told = false;
    bool leaving = false;
    run_options options;
    std::optional<checkpoint> start;             ///< of a resumed run that sees the directory
    std::optional<remote_parameters> read_there; ///< of one that does not
    setup_ptr setup;
    std::shared_ptr<std::atomic<double>> clock_offset;
    company here; ///< the actors of this run that live here
    bool started = false;
    std::vector<caf::actor> alive;
    std::unique_ptr<alarm_clock> alarm;
    std::shared_ptr<std::atomic<bool>> given_up;
  };

  void said_by(const caf::actor& link, const hello& in);
  void said_by(const caf::actor& link, const assignment& in);
  void said_by(const caf::actor& link, const connect_neighbours& in);
  void said_by(const caf::actor& link, const start_ranks& in);
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
  void spawn_members();
  void open_routes_to(const caf::actor& link, const std::vector<std::uint32_t>& peer_ranks, bool schedules);
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
  bool ending_ = false;
};

} // namespace troupe
