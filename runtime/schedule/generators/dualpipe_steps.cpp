#include "runtime/schedule/generators/dualpipe_steps.hpp"

namespace troupe {

namespace {

/// B of the late stage and of the early one in turn. From the middle on only I, so that the ranks before get their
/// gradients sooner; the W that are left over fill the rest of the step.
void write_turn_to_inputs(v_list& list, std::uint32_t depth) {
  const std::uint32_t middle = (depth + 1) / 2;
  for (std::uint32_t i = 0; i <= depth; ++i) {
    const bool late_is_split = i > middle || (i == middle && depth % 2 == 1);
    late_is_split ? list.backward_input(arm::late) : list.backward(arm::late);
    i >= middle ? list.backward_input(arm::early) : list.backward(arm::early);
  }
}

} // namespace

/// The numbers are those of DeepSeek's published steps 1 to 8.
void write_dualpipe_steps(v_list& list, const dualpipe_place& at) {
  for (std::uint32_t i = 0; i < 2 * at.behind; ++i) // 1
    list.forward(arm::early);
  for (std::uint32_t i = 0; i <= at.depth; ++i) { // 2
    list.forward(arm::early);
    list.forward(arm::late);
  }
  for (std::uint32_t i = 0; i < at.behind; ++i) { // 3
    list.backward_input(arm::late);
    list.oldest_weight();
    list.forward(arm::late);
  }
  const std::uint32_t steady = at.microbatches - 2 * at.behind - at.depth - 1;
  for (std::uint32_t i = 0; i < steady; ++i) { // 4
    if (i == 0 && at.behind == 0) {
      list.forward(arm::early);
      list.backward(arm::late);
    } else {
      list.overlapped(arm::early, arm::late);
    }
    list.overlapped(arm::late, arm::early);
  }
  for (std::uint32_t i = 0; i < at.behind; ++i) { // 5
    list.backward(arm::late);
    list.overlapped(arm::late, arm::early);
  }
  write_turn_to_inputs(list, at.depth);           // 6
  for (std::uint32_t i = 0; i < at.behind; ++i) { // 7
    list.oldest_weight();
    list.backward_input(arm::early);
  }
  for (std::uint32_t i = 0; i <= at.depth; ++i) // 8
    list.oldest_weight();
}

} // namespace troupe
