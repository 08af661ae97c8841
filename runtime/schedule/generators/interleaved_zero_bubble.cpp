// Interleaved zero bubble (arXiv 2401.10241, ZB1P over the interleaved order; PyTorch's ScheduleInterleavedZeroBubble):
// half of interleaved 1F1B's warm-up, since I alone reaches the rank before sooner, and W fills what would be idle.
#include "runtime/schedule/generators/loop_order.hpp"

namespace troupe {

schedule generate_interleaved_zero_bubble(const schedule_request& request) {
  const loop_order order(request, find_group_size(request));
  schedule result = without_actions(request, loop_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    append_deferring(result.actions[rank], order, rank,
                     {.warmup = (order.chunks() - 1) * order.group() + request.ranks - 1 - rank, .deferral = rank});
  return result;
}

} // namespace troupe
