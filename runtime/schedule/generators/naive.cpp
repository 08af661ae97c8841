// Naive model parallelism: a microbatch passes through all stages and back before the next one enters.
#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

schedule generate_naive(const schedule_request& request) {
  schedule result = without_actions(request, loop_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<action>& list = result.actions[rank];
    list.reserve(std::size_t{2} * request.microbatches);
    for (std::uint32_t microbatch = 0; microbatch < request.microbatches; ++microbatch) {
      list.push_back({rank, operation::forward, microbatch});
      list.push_back({rank, operation::backward, microbatch});
    }
  }
  return result;
}

} // namespace troupe
