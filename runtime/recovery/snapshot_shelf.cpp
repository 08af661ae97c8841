#include "runtime/recovery/snapshot_shelf.hpp"

#include <algorithm>
#include <iterator>

namespace troupe {

void snapshot_shelf::put(std::shared_ptr<const rank_snapshot> taken) {
  if (taken->steps_done < recovery_line_)
    return;
  const std::pair place(taken->steps_done, taken->rank);
  held_.insert_or_assign(place, std::move(taken));
}

std::shared_ptr<const rank_snapshot> snapshot_shelf::find(std::uint32_t rank, std::uint64_t steps_done) const {
  const auto found = held_.find({steps_done, rank});
  return found == held_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<const rank_snapshot>> snapshot_shelf::all() const {
  std::vector<std::shared_ptr<const rank_snapshot>> found;
  std::ranges::transform(held_, std::back_inserter(found), [](const auto& one) { return one.second; });
  return found;
}

void snapshot_shelf::trim(std::uint64_t recovery_line) {
  recovery_line_ = std::max(recovery_line_, recovery_line);
  held_.erase(held_.begin(), held_.lower_bound({recovery_line_, 0}));
}

} // namespace troupe
