// V-Min (arXiv 2405.15362, section 3.2): about a third of 1F1B's activations, the least that a V can do with.
#include "runtime/schedule/generators/repeating.hpp"

namespace troupe {

namespace {

building_block v_min_block(std::uint32_t ranks, std::uint32_t rank) {
  const std::uint32_t wait = ranks % 3 == 0 ? 2 : 0; // keeps the slots of the two halves apart
  return {.early_forward = rank,
          .late_forward = 2 * ranks - 1 - rank,
          .late_input = 2 * ranks + wait + rank,
          .early_input = 4 * ranks + wait - 1 - rank};
}

} // namespace

schedule generate_v_min(const schedule_request& request) {
  return repeat_block(request, v_min_block);
}

} // namespace troupe
