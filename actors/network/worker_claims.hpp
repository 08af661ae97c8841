// What the coordinator knows of its workers, and how it brings them from an address to a running rank.
#pragma once

#include "actors/network/coordinator.hpp"

#include <atomic>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

class worker_claims {
public:
  using self_pointer = caf::stateful_actor<coordinator_state>*;

  worker_claims(self_pointer self, setup_ptr setup, coordinator_setup_of_workers how, observer watcher);

  /// Begins to connect.
  void claim();
  void connected(const peer_connected& in);
  void failed(const connecting_failed& in);
  void ready(const link_ready& in);
  void said(const peer_said& in);
  void lost(const peer_lost& in);
  void begin(const begin_run& in);
  void leave();

private:
  /// How far a worker has come.
  enum class stage { connecting, greeted, measured, assigned, wired };
  struct member {
    member(network_address where, std::vector<std::uint32_t> hosts)
        : address(std::move(where)), ranks(std::move(hosts)) {}

    network_address address;
    std::vector<std::uint32_t> ranks;
    caf::actor link; ///< null before and after
    stage at = stage::connecting;
    std::uint32_t probes_left = 8;
    double best_round_trip = std::numeric_limits<double>::infinity();
    double clock_offset = 0.0; ///< added to its clock gives the run's
  };

  member* find(const caf::actor& link);
  std::string name_of_member(const member& one) const;
  void said_by(member& from, const hello& in);
  void said_by(member& from, const clock_answer& in);
  void said_by(member& from, const assignment_taken&);
  void said_by(member& from, const neighbours_connected&);
  void said_by(member& from, const link_lost& in);
  void said_by(member& from, const refusal& in);
  void said_by(member& from, const failure_message& in);
  void said_by(member& from, const parameter_request& in);
  template <class Message>
  void said_by(member& from, const Message&);

  void reach(member& one, stage now);
  bool all_at(stage least) const;
  void assign_all();
  assignment assignment_for(std::uint32_t number) const;
  void fail(error_kind kind, const std::string& text);
  void tell_when_left();

  self_pointer self_;
  setup_ptr setup_;
  coordinator_setup_of_workers how_;
  observer watcher_;
  run_id run_{};
  std::vector<member> members_;
  std::shared_ptr<std::atomic<bool>> given_up_;
  std::uint32_t connecting_ = 0;        ///< connectors whose answer is due
  std::map<std::string, shape> shapes_; ///< of all parameters, once one was asked for
  tensor_pool pool_;
  bool failed_ = false;
  bool leaving_ = false;
};

} // namespace troupe
