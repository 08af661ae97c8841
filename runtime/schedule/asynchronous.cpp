#include "runtime/schedule/asynchronous.hpp"

#include "model/error.hpp"

#include <algorithm>

namespace troupe {

std::uint64_t weights_version(const asynchrony& rule, std::uint32_t stage, std::uint64_t k) {
  const std::uint64_t lag = rule.lag[stage];
  return k < lag ? 0 : (k - lag) / rule.update_every;
}

std::uint32_t versions_behind(const asynchrony& rule) {
  const std::uint32_t lag = *std::ranges::max_element(rule.lag);
  return (lag + rule.update_every - 1) / rule.update_every;
}

std::vector<action> step_actions(const schedule& plan, std::uint32_t rank, step_start start, step_end end) {
  const std::vector<action>& whole = plan.actions[rank];
  const std::size_t ahead = plan.asynchronous ? plan.asynchronous->ahead[rank] : 0;
  TROUPE_CHECK(2 * ahead <= whole.size(), "a step has its own forward and backward passes");
  const std::size_t first = start == step_start::continued ? ahead : 0;
  const std::size_t tail = end == step_end::carry_on ? ahead : 0;
  std::vector<action> list(whole.begin() + static_cast<std::ptrdiff_t>(first),
                           whole.end() - static_cast<std::ptrdiff_t>(tail));
  for (std::size_t i = 0; i < tail; ++i) {
    action next = whole[i];
    next.microbatch += plan.microbatches;
    list.push_back(next);
    list.push_back(whole[whole.size() - tail + i]);
  }
  return list;
}

schedule unrolled(const schedule& plan, std::uint32_t steps) {
  TROUPE_CHECK(plan.asynchronous, "steps of a synchronous schedule do not join");
  schedule result = plan;
  result.asynchronous.reset();
  result.overlapped.clear();
  result.microbatches = plan.microbatches * steps;
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    result.actions[rank].clear();
    for (std::uint32_t step = 0; step < steps; ++step) {
      const auto start = step == 0 ? step_start::afresh : step_start::continued;
      const auto end = step + 1 == steps ? step_end::flush : step_end::carry_on;
      for (action one : step_actions(plan, rank, start, end)) {
        one.microbatch += step * plan.microbatches;
        result.actions[rank].push_back(one);
      }
    }
  }
  return result;
}

} // namespace troupe
