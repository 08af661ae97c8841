#include "runtime/recovery/snapshot_places.hpp"

namespace troupe {

void snapshot_places::note(std::uint32_t rank, std::uint64_t steps_done, std::uint32_t worker) {
  keepers_[{steps_done, rank}].insert(worker);
}

void snapshot_places::forget(std::uint32_t worker) {
  for (auto& [what, keepers] : keepers_)
    keepers.erase(worker);
}

void snapshot_places::trim(std::uint64_t recovery_line) {
  keepers_.erase(keepers_.begin(), keepers_.lower_bound({recovery_line, 0}));
}

std::optional<std::uint32_t> snapshot_places::find(std::uint32_t rank, std::uint64_t steps_done,
                                                   std::uint32_t preferred) const {
  const auto found = keepers_.find({steps_done, rank});
  if (found == keepers_.end() || found->second.empty())
    return std::nullopt;
  return found->second.contains(preferred) ? preferred : *found->second.begin();
}

} // namespace troupe
