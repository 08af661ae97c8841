// Hanayo (arXiv 2308.15762): 2 W stages a rank, placed in W waves that run down and up the ranks, one copy of the
// weights. The paper gives pictures, no formula; the lists come from playing the pipeline: whenever a rank is free it
// takes a backward pass if it can, else a forward pass. Which one of several is best depends on the sizes, so a few
// rules are tried and the shortest play is kept.
#include "runtime/schedule/generators/generators.hpp"

#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint32_t forward_slots = 1;
constexpr std::uint32_t backward_slots = 2;

/// Every stage takes its microbatches in ascending order in both directions, so counters say all about it.
struct stage_progress {
  std::uint32_t forwards = 0;  ///< started
  std::uint32_t backwards = 0; ///< started
  std::uint32_t inputs = 0;    ///< microbatches whose activations are there
  std::uint32_t gradients = 0; ///< microbatches whose gradient from behind is there
};

/// Which of several possible passes comes first.
enum class preference {
  oldest,     ///< the lowest microbatch
  late_stage, ///< of the oldest group of as many microbatches as ranks, the last stage
  early_stage ///< the same, the first stage
};

struct play_rules {
  preference first = preference::oldest;
  /// How many microbatches may be under way. As many as ranks could keep all of them busy, since a microbatch's way
  /// there and back takes as long as a rank's work on that many; with more the ranks wait less for one another.
  std::uint32_t window = 0;
};

class player {
public:
  player(schedule& plan, const play_rules& rules)
      : plan_(plan), rules_(rules), stages_(plan.stages()), stages_by_rank_(plan.ranks), busy_(plan.ranks, false) {
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      stages_by_rank_[plan.placements.front()[stage]].push_back(stage);
    stages_[0].inputs = plan.microbatches;
  }

  /// Writes the lists and returns how many slots they take.
  std::uint64_t play() {
    start_next(rank_of(0), 0);
    std::uint64_t now = 0;
    while (!running_.empty()) {
      now = running_.top().end;
      touched_.clear();
      while (!running_.empty() && running_.top().end == now) {
        finish(running_.top().what);
        running_.pop();
      }
      for (const std::uint32_t rank : touched_)
        if (!busy_[rank])
          start_next(rank, now);
    }
    return now;
  }

private:
  struct run {
    std::uint64_t end = 0;
    action what;

    friend auto operator<=>(const run&, const run&) = default;
  };

  std::uint32_t last_stage() const { return plan_.stages() - 1; }
  std::uint32_t rank_of(std::uint32_t stage) const { return plan_.placements.front()[stage]; }

  void finish(const action& done) {
    busy_[rank_of(done.stage)] = false;
    touched_.push_back(rank_of(done.stage));
    const bool forward = done.op == operation::forward;
    if (forward && done.stage == last_stage()) {
      ++stages_[done.stage].gradients;
    } else if (forward) {
      ++stages_[done.stage + 1].inputs;
      touched_.push_back(rank_of(done.stage + 1));
    } else if (done.stage > 0) {
      ++stages_[done.stage - 1].gradients;
      touched_.push_back(rank_of(done.stage - 1));
    }
  }

  bool can_forward(std::uint32_t stage) const {
    const stage_progress& at = stages_[stage];
    return at.forwards < at.inputs && (stage > 0 || at.forwards - at.backwards < rules_.window);
  }
  bool can_backward(std::uint32_t stage) const { return stages_[stage].backwards < stages_[stage].gradients; }

  bool precedes(const action& one, const action& other) const {
    if (rules_.first == preference::oldest)
      return one.microbatch < other.microbatch;
    const std::uint32_t group = one.microbatch / plan_.ranks;
    const std::uint32_t other_group = other.microbatch / plan_.ranks;
    if (group != other_group)
      return group < other_group;
    return rules_.first == preference::late_stage ? one.stage > other.stage : one.stage < other.stage;
  }

  std::optional<action> choose(std::uint32_t rank) const {
    std::optional<action> best;
    const auto offer = [&](const action& one) {
      if (!best || precedes(one, *best))
        best = one;
    };
    for (const std::uint32_t stage : stages_by_rank_[rank])
      if (can_backward(stage))
        offer({stage, operation::backward, stages_[stage].backwards});
    if (best)
      return best;
    for (const std::uint32_t stage : stages_by_rank_[rank])
      if (can_forward(stage))
        offer({stage, operation::forward, stages_[stage].forwards});
    return best;
  }

  void start_next(std::uint32_t rank, std::uint64_t now) {
    const auto next = choose(rank);
    if (!next)
      return;
    const bool forward = next->op == operation::forward;
    ++(forward ? stages_[next->stage].forwards : stages_[next->stage].backwards);
    busy_[rank] = true;
    plan_.actions[rank].push_back(*next);
    running_.push({now + (forward ? forward_slots : backward_slots), *next});
  }

  schedule& plan_;
  play_rules rules_;
  std::vector<stage_progress> stages_;
  std::vector<std::vector<std::uint32_t>> stages_by_rank_;
  std::vector<bool> busy_;
  std::priority_queue<run, std::vector<run>, std::greater<>> running_;
  std::vector<std::uint32_t> touched_; ///< ranks that ended a pass, or were given something, at this moment
};

} // namespace

schedule generate_hanayo(const schedule_request& request) {
  const schedule empty = without_actions(request, zigzag_placement(request));
  schedule best;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  // The window that needs less memory comes first, and stays where a wider one is no shorter.
  for (const std::uint32_t window : {request.ranks, 2 * request.ranks})
    for (const preference first : {preference::oldest, preference::late_stage, preference::early_stage}) {
      schedule one = empty;
      const std::uint64_t slots = player(one, {.first = first, .window = window}).play();
      if (slots < least) {
        least = slots;
        best = std::move(one);
      }
    }
  return best;
}

} // namespace troupe
