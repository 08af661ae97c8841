// DualPipeV (DeepSeek's DualPipe, cut in half): two stages a rank in a V, and in its steady state every F is paired
// with a B of the rank's other stage, whose communication and computation are meant to overlap.
#include "model/error.hpp"
#include "runtime/schedule/generators/v_list.hpp"

#include <fmt/format.h>

namespace troupe {

namespace {

/// B of the late stage and of the early one in turn. From the middle on only I, so that the ranks before get their
/// gradients sooner; the W that are left over fill the rest of the step.
void write_turn_to_inputs(v_list& list, std::uint32_t rank) {
  const std::uint32_t middle = (rank + 1) / 2;
  for (std::uint32_t i = 0; i <= rank; ++i) {
    const bool late_is_split = i > middle || (i == middle && rank % 2 == 1);
    late_is_split ? list.backward_input(arm::late) : list.backward(arm::late);
    i >= middle ? list.backward_input(arm::early) : list.backward(arm::early);
  }
}

/// The numbers are those of DeepSeek's published steps 1 to 8.
void write_rank(v_list list, const schedule_request& request, std::uint32_t rank) {
  const std::uint32_t behind = request.ranks - 1 - rank;
  for (std::uint32_t i = 0; i < 2 * behind; ++i) // 1
    list.forward(arm::early);
  for (std::uint32_t i = 0; i <= rank; ++i) { // 2
    list.forward(arm::early);
    list.forward(arm::late);
  }
  for (std::uint32_t i = 0; i < behind; ++i) { // 3
    list.backward_input(arm::late);
    list.oldest_weight();
    list.forward(arm::late);
  }
  const std::uint32_t steady = request.microbatches - 2 * request.ranks + rank + 1;
  for (std::uint32_t i = 0; i < steady; ++i) { // 4
    if (i == 0 && behind == 0) {
      list.forward(arm::early);
      list.backward(arm::late);
    } else {
      list.overlapped(arm::early, arm::late);
    }
    list.overlapped(arm::late, arm::early);
  }
  for (std::uint32_t i = 0; i < behind; ++i) { // 5
    list.backward(arm::late);
    list.overlapped(arm::late, arm::early);
  }
  write_turn_to_inputs(list, rank);            // 6
  for (std::uint32_t i = 0; i < behind; ++i) { // 7
    list.oldest_weight();
    list.backward_input(arm::early);
  }
  for (std::uint32_t i = 0; i <= rank; ++i) // 8
    list.oldest_weight();
}

} // namespace

schedule generate_dualpipev(const schedule_request& request) {
  if (request.microbatches < 2 * request.ranks)
    throw spec_error(fmt::format("schedule '{}': found {} microbatches, expected at least {}, two for each rank",
                                 request.name, request.microbatches, 2 * request.ranks));
  schedule result = without_actions(request, zigzag_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    write_rank(v_list(result, rank), request, rank);
  return result;
}

} // namespace troupe
