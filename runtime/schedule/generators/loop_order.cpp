#include "runtime/schedule/generators/loop_order.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

std::uint32_t find_group_size(const schedule_request& request) {
  const std::uint32_t microbatches = request.microbatches;
  if (request.group_size == 0) {
    const std::uint32_t rounds = std::max(1U, microbatches / request.ranks);
    if (microbatches % rounds != 0)
      throw spec_error(
          fmt::format("schedule '{}': found {} microbatches, expected a multiple of {}, the rounds that {} "
                      "ranks need (microbatches / ranks), or a group size that divides them",
                      request.name, microbatches, rounds, request.ranks));
    return microbatches / rounds;
  }
  if (microbatches % request.group_size != 0)
    throw spec_error(fmt::format("schedule '{}': found {} microbatches, expected a multiple of {}, the group size",
                                 request.name, microbatches, request.group_size));
  if (request.group_size < std::min(request.ranks, microbatches))
    throw spec_error(fmt::format("schedule '{}': found groups of {}, expected at least {}, the smaller of ranks and "
                                 "microbatches, because a smaller group is through before the last rank answers",
                                 request.name, request.group_size, std::min(request.ranks, microbatches)));
  return request.group_size;
}

void append_deferring(std::vector<action>& list, const loop_order& order, std::uint32_t rank, run_ahead ahead) {
  const std::uint32_t steps = order.steps();
  const std::uint32_t warmup = std::min(ahead.warmup, steps);
  const std::uint32_t deferral = std::min(ahead.deferral, steps);
  list.reserve(std::size_t{3} * steps);
  for (std::uint32_t step = 0; step < warmup; ++step)
    list.push_back(order.forward(rank, step));
  for (std::uint32_t step = 0; step < steps; ++step) {
    if (step < steps - warmup)
      list.push_back(order.forward(rank, warmup + step));
    list.push_back(order.backward(operation::backward_input, rank, step));
    if (step >= deferral)
      list.push_back(order.backward(operation::backward_weight, rank, step - deferral));
  }
  for (std::uint32_t step = steps - deferral; step < steps; ++step)
    list.push_back(order.backward(operation::backward_weight, rank, step));
}

} // namespace troupe
