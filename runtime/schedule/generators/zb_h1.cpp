// ZB-H1 (arXiv 2401.10241, section 2.1): 1F1B whose W runs `rank` steps behind I, which takes most of the bubble at the
// end of a step away and needs no more memory than the first rank of 1F1B.
#include "runtime/schedule/generators/loop_order.hpp"

namespace troupe {

schedule generate_zb_h1(const schedule_request& request) {
  const loop_order order(request, request.microbatches);
  schedule result = without_actions(request, loop_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    append_deferring(result.actions[rank], order, rank, {.warmup = request.ranks - 1 - rank, .deferral = rank});
  return result;
}

} // namespace troupe
