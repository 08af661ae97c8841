// ZB-H2 (arXiv 2401.10241, section 2.1 and Table 2): twice the warm-up and the deferral of ZB-H1. With 2p - 1
// microbatches or more and F = I = W no rank idles between its first and its last action; fewer run, but with idle
// time.
#include "runtime/schedule/generators/loop_order.hpp"

namespace troupe {

schedule generate_zb_h2(const schedule_request& request) {
  const loop_order order(request, request.microbatches);
  schedule result = without_actions(request, loop_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    append_deferring(result.actions[rank], order, rank,
                     {.warmup = 2 * (request.ranks - 1 - rank), .deferral = 2 * rank});
  return result;
}

} // namespace troupe
