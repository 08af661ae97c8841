#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

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
class event_loop {
public:
  event_loop(const schedule& plan, const simulation_costs& costs)
      : plan_(plan), costs_(costs), arrivals_(plan, costs), next_(plan.ranks, 0), free_processors_(costs.processors),
        lists_(plan.ranks) {
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
      lists_[rank].reserve(plan.actions[rank].size());
  }

  timed_lists run() {
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
    return std::move(lists_);
  }

private:
  bool at_end(std::uint32_t rank) const { return next_[rank] == plan_.actions[rank].size(); }
  const action& head(std::uint32_t rank) const { return plan_.actions[rank][next_[rank]]; }

  /// Turns to the rank's next action: it is ready when the rank is and its input has arrived.
  void advance(std::uint32_t rank, double now) {
    if (at_end(rank))
      return;
    if (const auto ready = arrivals_.earliest_start(head(rank), now))
      events_.push({*ready, event_kind::ready, rank});
  }

  void start(std::uint32_t rank, double now) {
    const action& one = head(rank);
    const double end = now + pass_time(one, of_stage(costs_.stages, one.stage));
    lists_[rank].push_back({one, now, end});
    events_.push({end, event_kind::finished, rank});
  }

  void finish(std::uint32_t rank, double now) {
    const auto given = given_by(head(rank));
    ++next_[rank];
    ++free_processors_;
    if (given)
      give(*given, rank, now);
    advance(rank, now);
  }

  /// A rank whose next action takes `given` was blocked until now: what a ready or running rank takes exists already.
  void give(const pass_result& given, std::uint32_t giver, double now) {
    const auto rank = arrivals_.add(given, giver, now);
    if (rank && *rank != giver && !at_end(*rank) && arrivals_.takes(head(*rank), given))
      advance(*rank, now);
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
  arrivals arrivals_;
  std::vector<std::size_t> next_; ///< by rank: the action it waits for or runs
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  std::uint32_t free_processors_;
  std::deque<std::uint32_t> queue_;
  timed_lists lists_;
};

} // namespace

timed_lists simulate_on_processors(const schedule& plan, const simulation_costs& costs) {
  return event_loop(plan, costs).run();
}

} // namespace troupe
