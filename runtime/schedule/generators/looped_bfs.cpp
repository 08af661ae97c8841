// Looped breadth-first pipeline (arXiv 2211.05953, section 3): a rank takes all microbatches through one of its stages
// before it turns to the next. The backward passes ascend, so that gradients are summed in the reference's order.
#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

schedule generate_looped_bfs(const schedule_request& request) {
  schedule result = without_actions(request, loop_placement(request));
  const microbatch_range all{0, request.microbatches};
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<action>& list = result.actions[rank];
    list.reserve(std::size_t{2} * request.chunks * request.microbatches);
    for (std::uint32_t chunk = 0; chunk < request.chunks; ++chunk)
      append_each(list, chunk * request.ranks + rank, operation::forward, all);
    for (std::uint32_t chunk = request.chunks; chunk > 0; --chunk)
      append_each(list, (chunk - 1) * request.ranks + rank, operation::backward, all);
  }
  return result;
}

} // namespace troupe
