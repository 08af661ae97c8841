// GPipe (arXiv 1811.06965): all forward passes, then all backward passes. The backward passes run in ascending order of
// microbatches, not descending as in the paper's figure, so that gradients are summed in the reference's order.
#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

schedule generate_gpipe(const schedule_request& request) {
  schedule result = without_actions(request, loop_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<action>& list = result.actions[rank];
    list.reserve(std::size_t{2} * request.microbatches);
    append_each(list, rank, operation::forward, {0, request.microbatches});
    append_each(list, rank, operation::backward, {0, request.microbatches});
  }
  return result;
}

} // namespace troupe
