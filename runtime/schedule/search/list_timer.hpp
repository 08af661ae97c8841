// When the passes of given lists start, at the earliest and at the latest. The search's own small simulator: it never
// writes more than a few arrays, and takes lists that get stuck.
#pragma once

#include "runtime/schedule/search/pipeline_model.hpp"

#include <vector>

namespace troupe {

class list_timer {
public:
  explicit list_timer(const pipeline_model& model);

  /// Runs the lists, each pass as early as it can be; infinity when they get stuck, because each rank waits for a pass
  /// that some rank has further behind. Otherwise the makespan.
  double run(const pass_lists& lists);

  /// Of the last run, by pass. None of it means anything when that got stuck.
  const std::vector<double>& starts() const { return starts_; }
  /// By pass: how late it could start with the makespan and the order of all lists as they were.
  std::vector<double> latest_starts(const pass_lists& lists, double makespan) const;
  /// Of the last run, by rank: when it was through.
  const std::vector<double>& rank_ends() const { return rank_ends_; }

private:
  void run_on(const pass_lists& lists, std::uint32_t rank);
  void give(const pass_lists& lists, pass_id taker, double arrival);

  const pipeline_model& model_;
  std::vector<double> starts_;
  std::vector<double> arrival_; ///< by pass: when its input is there, or not_yet
  std::vector<double> rank_ends_;
  std::vector<std::size_t> next_; ///< by rank: place in its list
  std::vector<std::uint32_t> awake_;
  std::vector<pass_id> order_; ///< in which the passes were run: each one behind all that it waited for
};

} // namespace troupe
