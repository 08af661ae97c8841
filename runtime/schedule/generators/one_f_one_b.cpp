// 1F1B, also called PipeDream-Flush (arXiv 2006.09503, section 3.2): each rank warms up with as many forward passes as
// there are ranks behind it, then runs one forward and one backward in turn, then drains.
#include "runtime/schedule/generators/generators.hpp"

#include <algorithm>

namespace troupe {

schedule generate_one_f_one_b(const schedule_request& request) {
  schedule result = without_actions(request, loop_placement(request));
  const std::uint32_t microbatches = request.microbatches;
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<action>& list = result.actions[rank];
    list.reserve(std::size_t{2} * microbatches);
    const std::uint32_t warmup = std::min(request.ranks - 1 - rank, microbatches);
    append_each(list, rank, operation::forward, {0, warmup});
    for (std::uint32_t microbatch = warmup; microbatch < microbatches; ++microbatch) {
      list.push_back({rank, operation::forward, microbatch});
      list.push_back({rank, operation::backward, microbatch - warmup});
    }
    append_each(list, rank, operation::backward, {microbatches - warmup, microbatches});
  }
  return result;
}

} // namespace troupe
