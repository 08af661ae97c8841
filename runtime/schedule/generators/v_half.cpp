// V-Half (arXiv 2405.15362, section 3.2): about half of 1F1B's activations, the same on every rank.
#include "runtime/schedule/generators/repeating.hpp"

namespace troupe {

namespace {

building_block v_half_block(std::uint32_t ranks, std::uint32_t rank) {
  const std::uint32_t wait = ranks % 2 == 0 ? 3 : 0; // keeps the slots of the two halves apart
  return {.early_forward = 2 * rank,
          .late_forward = 3 * ranks - 2 - rank,
          .late_input = 3 * ranks + wait + 2 * rank - 1,
          .early_input = 6 * ranks + wait - 2 - rank};
}

} // namespace

schedule generate_v_half(const schedule_request& request) {
  return repeat_block(request, v_half_block);
}

} // namespace troupe
