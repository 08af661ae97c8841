// What workers hold of a run whose coordinator is lost, and what of it the run can go on from.
#pragma once

#include "runtime/digest.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

/// Tells which snapshots a run can start from. The state after a step follows from the first of the two alone, whoever
/// has computed it: two runs that agree in it have the same.
struct state_key {
  sha256_digest result{}; ///< of all that decides the result
  sha256_digest shape{};  ///< of the layers that each rank holds

  friend bool operator==(const state_key&, const state_key&) = default;
};
state_key key_of(const run_spec& spec, const plan& pipeline);

/// A rank's state after so many steps.
struct held_snapshot {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;

  friend bool operator==(const held_snapshot&, const held_snapshot&) = default;
};

/// Snapshots of one rank that a worker tells of.
inline constexpr std::uint32_t most_held = 8;

/// What a worker has for a run that goes on. Of another run, or of this one cut over the ranks in another way, it has
/// nothing that could be of use.
enum class holding { nothing, other_run, other_shape, some };

/// Where a run could go on without what its workers hold, and with what it could not.
struct held_bounds {
  std::uint64_t after = 0; ///< steps done that need no worker: a checkpoint's, or 0
  std::uint64_t most = 0;  ///< steps that have been decided, as far as the disk knows
};

/// The newest steps done within bounds of which somebody holds the snapshot of each rank; nothing: there are none.
std::optional<std::uint64_t> newest_whole(const std::vector<held_snapshot>& held, std::uint32_t ranks,
                                          const held_bounds& bounds);

} // namespace troupe
