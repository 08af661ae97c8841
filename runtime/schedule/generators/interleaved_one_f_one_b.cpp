// Interleaved 1F1B (Megatron-LM, arXiv 2104.04473, section 2.2): each rank has several stages, so that a microbatch
// passes every rank several times and the ramps at both ends of a step are made of shorter pieces.
#include "runtime/schedule/generators/loop_order.hpp"

#include <algorithm>

namespace troupe {

schedule generate_interleaved_one_f_one_b(const schedule_request& request) {
  const loop_order order(request, find_group_size(request));
  schedule result = without_actions(request, loop_placement(request));
  const std::uint32_t steps = order.steps();
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<action>& list = result.actions[rank];
    list.reserve(std::size_t{2} * steps);
    const std::uint32_t warmup = std::min((order.chunks() - 1) * order.group() + 2 * (request.ranks - 1 - rank), steps);
    for (std::uint32_t step = 0; step < warmup; ++step)
      list.push_back(order.forward(rank, step));
    for (std::uint32_t step = 0; step < steps; ++step) {
      if (step < steps - warmup)
        list.push_back(order.forward(rank, warmup + step));
      list.push_back(order.backward(operation::backward, rank, step));
    }
  }
  return result;
}

} // namespace troupe
