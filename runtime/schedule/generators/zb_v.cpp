// ZB-V (arXiv 2405.15362, section 4; PyTorch's ScheduleZBVZeroBubble): two stages a rank in a V, so that the last stage
// is on the first rank and the backward passes start where the forward passes did. No bubble where F = I = W.
#include "runtime/schedule/generators/v_list.hpp"

#include <algorithm>

namespace troupe {

namespace {

template <class Function>
void repeat(std::uint32_t times, Function&& act) {
  for (std::uint32_t i = 0; i < times; ++i)
    act();
}

/// The pattern is whole only with 2p - 1 microbatches; what is beyond the request's is left out.
void write_rank(v_list list, const schedule_request& request, std::uint32_t rank) {
  const std::uint32_t behind = request.ranks - rank;
  const std::uint32_t microbatches = std::max(request.microbatches, 2 * request.ranks - 1);
  const auto finish_late = [&] {
    list.forward(arm::late);
    list.backward_input(arm::late);
    list.backward_weight(arm::late);
  };
  repeat(2 * behind - 1, [&] { list.forward(arm::early); });
  repeat(rank, [&] {
    list.forward(arm::late);
    list.forward(arm::early);
  });
  repeat(behind, finish_late);
  while (list.forwards(arm::late) < microbatches) {
    if (list.forwards(arm::early) < microbatches)
      list.forward(arm::early);
    list.backward_input(arm::early);
    list.backward_weight(arm::early);
    finish_late();
  }
  repeat(rank, [&] {
    list.backward_input(arm::early);
    list.backward_input(arm::late);
  });
  repeat(behind, [&] {
    list.backward_input(arm::early);
    list.backward_weight(arm::early);
  });
  repeat(microbatches, [&] { list.backward_weight(arm::late); });
  repeat(microbatches, [&] { list.backward_weight(arm::early); });
}

} // namespace

schedule generate_zb_v(const schedule_request& request) {
  schedule result = without_actions(request, zigzag_placement(request));
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    write_rank(v_list(result, rank), request, rank);
  return result;
}

} // namespace troupe
