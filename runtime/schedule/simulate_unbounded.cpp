#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

namespace troupe {

namespace {

/// Without a queue for processors, when an action starts depends on its rank's list and its input alone. So each rank
/// runs on until it lacks an input, whatever the time is at other ranks.
class list_runner {
public:
  list_runner(const schedule& plan, const simulation_costs& costs)
      : plan_(plan), costs_(costs), arrivals_(plan, costs), lists_(plan.ranks) {}

  timed_lists run() {
    for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank) {
      lists_[rank].reserve(plan_.actions[rank].size());
      awake_.push_back(rank);
    }
    while (!awake_.empty()) {
      const std::uint32_t rank = awake_.back();
      awake_.pop_back();
      run_on(rank);
    }
    for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
      TROUPE_CHECK(at_end(rank), "the schedule was checked before");
    return std::move(lists_);
  }

private:
  bool at_end(std::uint32_t rank) const { return lists_[rank].size() == plan_.actions[rank].size(); }
  const action& head(std::uint32_t rank) const { return plan_.actions[rank][lists_[rank].size()]; }

  void run_on(std::uint32_t rank) {
    double now = lists_[rank].empty() ? 0.0 : lists_[rank].back().end;
    for (; !at_end(rank); now = lists_[rank].back().end) {
      const action& one = head(rank);
      const auto start = arrivals_.earliest_start(one, now);
      if (!start)
        return;
      const double end = *start + pass_time(one, of_stage(costs_.stages, one.stage));
      lists_[rank].push_back({one, *start, end});
      if (const auto given = given_by(one))
        give(*given, rank, end);
    }
  }

  void give(const pass_result& given, std::uint32_t giver, double made) {
    const auto rank = arrivals_.add(given, giver, made);
    if (rank && *rank != giver && !at_end(*rank) && arrivals_.takes(head(*rank), given))
      awake_.push_back(*rank);
  }

  const schedule& plan_;
  const simulation_costs& costs_;
  arrivals arrivals_;
  timed_lists lists_;
  std::vector<std::uint32_t> awake_; ///< ranks that may have something to run
};

} // namespace

timed_lists simulate_unbounded(const schedule& plan, const simulation_costs& costs) {
  return list_runner(plan, costs).run();
}

} // namespace troupe
