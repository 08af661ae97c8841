// DualPipe (DeepSeek-V3, arXiv 2412.19437, section 3.2.1): the pipeline is fed from both ends. Half of the microbatches
// run down the ranks through one copy of the model, half of them up through the other; where they meet, F of one
// direction is paired with B of the other one.
#include "model/error.hpp"
#include "runtime/schedule/generators/dualpipe_steps.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

schedule generate_dualpipe(const schedule_request& request) {
  schedule result = without_actions_from_both_ends(request);
  if (request.microbatches < 2 * request.ranks)
    throw spec_error(fmt::format("schedule '{}': found {} microbatches, expected at least {}, two for each rank",
                                 request.name, request.microbatches, 2 * request.ranks));
  const std::uint32_t half = request.microbatches / 2;
  const microbatch_range down{0, half};
  const microbatch_range up{half, request.microbatches};
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    const bool top = rank < request.ranks / 2; // nearer to where the microbatches that run down come in
    const std::uint32_t depth = std::min(rank, request.ranks - 1 - rank);
    v_list list(result, rank, {depth, top ? down : up}, {request.ranks - 1 - depth, top ? up : down});
    write_dualpipe_steps(list, {.depth = depth, .behind = request.ranks / 2 - 1 - depth, .microbatches = half});
  }
  return result;
}

} // namespace troupe
