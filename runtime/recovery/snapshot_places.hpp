// Which workers keep which snapshots of which ranks, as far as the coordinator was told.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace troupe {

class snapshot_places {
public:
  void note(std::uint32_t rank, std::uint64_t steps_done, std::uint32_t worker);
  /// A worker is gone, and with it what it kept.
  void forget(std::uint32_t worker);
  /// No rank restarts from fewer than so many steps done.
  void trim(std::uint64_t recovery_line);
  /// `preferred` if it has the rank's state after so many steps, else anybody who has it; nothing: nobody.
  std::optional<std::uint32_t> find(std::uint32_t rank, std::uint64_t steps_done, std::uint32_t preferred) const;

private:
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::set<std::uint32_t>> keepers_; ///< by steps done and rank
};

} // namespace troupe
