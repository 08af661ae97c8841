// The ranks' snapshots that a keeper holds in memory: of each rank at most two, the one at the recovery line and the
// next.
#pragma once

#include "runtime/traffic.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace troupe {

class snapshot_shelf {
public:
  /// Replaces one of the same rank and step. One from before the recovery line is not wanted any more.
  void put(std::shared_ptr<const rank_snapshot> taken);
  /// Null when it is not here.
  std::shared_ptr<const rank_snapshot> find(std::uint32_t rank, std::uint64_t steps_done) const;
  /// No rank restarts from fewer than so many steps done.
  void trim(std::uint64_t recovery_line);
  /// By steps done and rank.
  std::vector<std::shared_ptr<const rank_snapshot>> all() const;
  std::size_t size() const { return held_.size(); }

private:
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::shared_ptr<const rank_snapshot>> held_; ///< steps done, rank
  std::uint64_t recovery_line_ = 0;
};

} // namespace troupe
