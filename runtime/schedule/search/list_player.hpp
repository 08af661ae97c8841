// List scheduling: plays a pipeline through time, each rank choosing among the passes that it could start, and writes
// down what was chosen.
#pragma once

#include "runtime/schedule/search/pipeline_model.hpp"

#include <queue>
#include <vector>

namespace troupe {

/// How a rank chooses.
struct play_rules {
  std::vector<double> keys; ///< by pass_id: the smallest comes first
  /// A rank lets go of a pass that it could start when one with a smaller key will arrive within this part of the
  /// pass's time. 0: it never waits; of zero bubble's automatic schedules (arXiv 2401.10241, section 3) this is the
  /// gap from which on W fills it.
  double patience = 0.0;
};

/// Every stage takes its microbatches in ascending order for F, I and W, so that counters say all about it, and the
/// lists are canonical. A rank never holds more than the model's limit, and F of an early stage leaves room for the
/// later stages of its rank: so the oldest microbatch can always go on, and no play gets stuck.
class list_player {
public:
  explicit list_player(const pipeline_model& model);

  /// The lists of one play.
  pass_lists play(const play_rules& rules);

private:
  struct stage_progress {
    std::uint32_t forwards = 0; ///< started
    std::uint32_t inputs = 0;
    std::uint32_t weights = 0;
  };
  struct event {
    double time = 0.0;
    std::uint32_t rank = 0;

    friend auto operator<=>(const event&, const event&) = default;
  };

  void reset();
  void decide(std::uint32_t rank, double now, const play_rules& rules);
  void start(std::uint32_t rank, pass_id pass, double now);
  void deliver(pass_id taker, double arrival);

  const pipeline_model& model_;
  std::vector<std::uint32_t> room_behind_; ///< by stage: later stages of its rank
  std::vector<stage_progress> progress_;
  std::vector<double> arrival_; ///< by pass: when its input is there; infinity: not known yet
  std::vector<double> busy_until_;
  std::vector<std::uint32_t> held_; ///< by rank
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  pass_lists lists_;
};

} // namespace troupe
