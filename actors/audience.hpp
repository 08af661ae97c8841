// The observer of a run: the thread that asked for it, which waits for its end.
#pragma once

#include "actors/interfaces.hpp"
#include "actors/network/messages.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Who is watched, and its name in messages.
using watched_actors = std::vector<std::pair<caf::actor, std::string>>;

/// What a rank needs to live again is lost.
class state_lost_error : public error {
public:
  explicit state_lost_error(const std::string& cause) : error(error_kind::run, cause) {}
};

/// A worker was lost before the run had begun, which can begin with the others.
class start_lost_error : public error {
public:
  explicit start_lost_error(const std::string& cause) : error(error_kind::run, cause) {}
};

class audience {
public:
  audience(caf::actor_system& system, const run_options& options) : self_(system), options_(options) {}

  observer handle() { return caf::actor_cast<observer>(self_); }

  /// Waits for the end of the run and of all of the company that lives in this process. Throws the first failure, and
  /// state_lost_error when the run can only begin anew, or start_lost_error when it has not begun.
  run_report watch(const company& everyone);

  /// Waits until a coordinator has its workers; nothing when the user interrupts first. Throws as watch() does.
  std::optional<workers_ready> await_workers();
  /// Waits until a coordinator has let go of its workers.
  void await_left();

private:
  void receive_one();
  void send_interrupt();
  void note_failure(const failure_message& in);
  void note_down(const caf::down_msg& in);
  bool interrupted() const;
  void throw_failure() const;

  caf::scoped_actor self_;
  const run_options& options_;
  watched_actors members_;
  std::optional<company> company_;
  std::optional<run_finished> report_;
  std::optional<failure_message> failure_;
  std::optional<state_lost> lost_;
  std::optional<workers_ready> workers_;
  bool left_ = false;
  std::size_t alive_ = 0;
  bool interrupt_sent_ = false;
};

} // namespace troupe
