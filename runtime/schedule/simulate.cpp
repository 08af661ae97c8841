#include "runtime/schedule/simulate.hpp"

#include "model/error.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/needs.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <queue>

namespace troupe {

namespace {

// At one instant all ranks that finish do so before any rank queues for a processor.
enum class event_kind : std::uint8_t { finished, ready };

struct event {
  double time = 0.0;
  event_kind kind = event_kind::finished;
  std::uint32_t rank = 0;

  friend auto operator<=>(const event&, const event&) = default;
};

/// Each rank is in one of four states: blocked (its next action's input does not exist yet), on its way to ready (one
/// event), in the queue for a processor, or running (one event). So there are never more events than ranks.
class simulator {
public:
  simulator(const schedule& plan, const simulation_costs& costs)
      : plan_(plan), costs_(costs), end_(plan.stages(), plan.microbatches, not_yet), next_(plan.ranks, 0),
        unlimited_(costs.processors == 0), free_processors_(costs.processors) {
    TROUPE_CHECK(costs.stages.size() == 1 || costs.stages.size() == plan.stages(), "one cost, or one for each stage");
    result_.ranks.resize(plan.ranks);
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
      result_.ranks[rank].reserve(plan.actions[rank].size());
  }

  simulation run() {
    for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
      advance(rank, 0.0);
    while (!events_.empty()) {
      const event now = events_.top();
      events_.pop();
      if (now.kind == event_kind::finished)
        finish(now.rank, now.time);
      else
        queue_.push_back(now.rank);
      give_out_processors(now.time);
    }
    for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
      TROUPE_CHECK(at_end(rank), "the schedule was checked before");
    return std::move(result_);
  }

private:
  static constexpr double not_yet = -1.0;

  bool at_end(std::uint32_t rank) const { return next_[rank] == plan_.actions[rank].size(); }
  const action& head(std::uint32_t rank) const { return plan_.actions[rank][next_[rank]]; }

  double duration(const action& one) const {
    const stage_cost& cost = costs_.stages[costs_.stages.size() == 1 ? 0 : one.stage];
    switch (one.op) {
    case operation::forward:
      return cost.forward;
    case operation::backward_input:
      return cost.backward_input;
    case operation::backward_weight:
      return cost.backward_weight;
    case operation::backward:
      break;
    }
    return cost.backward_input + cost.backward_weight;
  }

  /// Turns to the rank's next action: it is ready when the rank is and its input has arrived. What it takes from its
  /// own stage came earlier in the same list.
  void advance(std::uint32_t rank, double now) {
    if (at_end(rank))
      return;
    double ready = now;
    if (const auto input = taken_from_neighbour(head(rank), plan_.stages())) {
      const double end = end_[*input];
      if (end == not_yet)
        return;
      const bool same_rank = plan_.rank_of(input->stage, input->microbatch) == rank;
      ready = std::max(now, same_rank ? end : end + costs_.communication);
    }
    if (unlimited_)
      start(rank, ready);
    else
      events_.push({ready, event_kind::ready, rank});
  }

  void start(std::uint32_t rank, double now) {
    const action& one = head(rank);
    const double end = now + duration(one);
    result_.ranks[rank].push_back({one, now, end});
    events_.push({end, event_kind::finished, rank});
  }

  void finish(std::uint32_t rank, double now) {
    const auto given = given_by(head(rank));
    ++next_[rank];
    if (!unlimited_)
      ++free_processors_;
    if (given) {
      end_[*given] = now;
      wake_taker(*given, rank, now);
    }
    advance(rank, now);
  }

  /// A rank whose next action takes `given` was blocked until now: what a ready or running rank takes exists already.
  void wake_taker(const pass_result& given, std::uint32_t giver, double now) {
    const auto taker = taker_of(given, plan_.stages());
    if (!taker)
      return;
    const std::uint32_t rank = plan_.rank_of(*taker, given.microbatch);
    if (rank != giver && !at_end(rank) && taken_from_neighbour(head(rank), plan_.stages()) == given)
      advance(rank, now);
  }

  void give_out_processors(double now) {
    while (free_processors_ > 0 && !queue_.empty()) {
      --free_processors_;
      start(queue_.front(), now);
      queue_.pop_front();
    }
  }

  const schedule& plan_;
  const simulation_costs& costs_;
  result_table<double> end_;      ///< when each result came to be, or not_yet
  std::vector<std::size_t> next_; ///< by rank: the action it waits for or runs
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  bool unlimited_;
  std::uint32_t free_processors_; ///< unused when unlimited
  std::deque<std::uint32_t> queue_;
  simulation result_;
};

std::uint32_t peak_stash_of(const std::vector<action>& list) {
  std::uint32_t held = 0;
  std::uint32_t peak = 0;
  for (const action& one : list) {
    if (one.op == operation::forward)
      peak = std::max(peak, ++held);
    else if (one.op != operation::backward_input)
      --held;
  }
  return peak;
}

} // namespace

simulation simulate(const schedule& plan, const simulation_costs& costs) {
  simulation result = simulator(plan, costs).run();
  double all_busy = 0.0;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    const std::vector<timed_action>& ran = result.ranks[rank];
    double busy = 0.0;
    for (const timed_action& one : ran)
      busy += one.end - one.start;
    all_busy += busy;
    result.busy.push_back(busy);
    result.span.push_back(ran.empty() ? 0.0 : ran.back().end - ran.front().start);
    result.makespan = std::max(result.makespan, ran.empty() ? 0.0 : ran.back().end);
    result.peak_stash.push_back(peak_stash_of(plan.actions[rank]));
  }
  if (result.makespan > 0.0)
    result.bubble_fraction = 1.0 - all_busy / (plan.ranks * result.makespan);
  return result;
}

steady_step simulate_steady_step(const schedule& plan, const simulation_costs& costs) {
  if (!plan.asynchronous) {
    const simulation whole = simulate(plan, costs);
    return {whole.makespan, whole.bubble_fraction};
  }
  constexpr std::uint32_t ramp = 3; // steps until each one takes as long as the one before
  const simulation shorter = simulate(unrolled(plan, ramp), costs);
  const simulation longer = simulate(unrolled(plan, ramp + 1), costs);
  const double seconds = longer.makespan - shorter.makespan;
  double busy = 0.0;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    busy += longer.busy[rank] - shorter.busy[rank];
  return {seconds, seconds > 0.0 ? 1.0 - busy / (plan.ranks * seconds) : 0.0};
}

} // namespace troupe
