// DualPipeV (DeepSeek's DualPipe, cut in half): two stages a rank in a V, and in its steady state every F is paired
// with a B of the rank's other stage, whose communication and computation are meant to overlap.
#include "model/error.hpp"
#include "runtime/schedule/generators/dualpipe_steps.hpp"

#include <fmt/format.h>

namespace troupe {

schedule generate_dualpipev(const schedule_request& request) {
  if (request.microbatches < 2 * request.ranks)
    throw spec_error(fmt::format("schedule '{}': found {} microbatches, expected at least {}, two for each rank",
                                 request.name, request.microbatches, 2 * request.ranks));
  schedule result = without_actions(request, zigzag_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    v_list list(result, rank);
    write_dualpipe_steps(list,
                         {.depth = rank, .behind = request.ranks - 1 - rank, .microbatches = request.microbatches});
  }
  return result;
}

} // namespace troupe
