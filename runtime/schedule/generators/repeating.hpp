// Schedules in a V that repeat one block of six slots for each microbatch (arXiv 2405.15362, section 3): the block says
// in which order F and I of a rank's two stages run, W fills the gaps.
#pragma once

#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

/// The slots in which a rank's passes over microbatch 0 start; those over microbatch k are 6 k later. No two may be
/// equal modulo 6.
struct building_block {
  std::uint32_t early_forward = 0;
  std::uint32_t late_forward = 0;
  std::uint32_t late_input = 0;
  std::uint32_t early_input = 0;
};

using block_of_rank = building_block (*)(std::uint32_t ranks, std::uint32_t rank);

/// Each rank runs F and I in the order of their slots, as early as it can, and W, oldest first, where it would be idle
/// or hold more than the block with W in its free slots. Each pass takes one slot.
schedule repeat_block(const schedule_request& request, block_of_rank block);

} // namespace troupe
