// The snapshots of all ranks of a plan, as they are before the first step, with every optimizer state its own number.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/training_state.hpp"

#include <cstdint>
#include <iterator>
#include <vector>

namespace troupe::test {

inline std::vector<rank_snapshot> rank_snapshots(const run_spec& spec, const plan& pipeline, std::uint64_t steps_done,
                                                 tensor_pool& pool) {
  std::vector<rank_snapshot> ranks;
  float next = 0.0F;
  for (std::uint32_t rank = 0; rank < pipeline.ranks(); ++rank) {
    rank_snapshot& taken = ranks.emplace_back(rank_snapshot{rank, 1, steps_done, {}});
    for (const std::uint32_t stage : pipeline.stages_of(rank)) {
      if (pipeline.copy_on(rank, stage) > 0)
        continue;
      const stage_state state(spec, find_family(spec.model.family), pipeline.stages[stage], nullptr, pool);
      std::ranges::move(state.snapshot(), std::back_inserter(taken.layers));
    }
    for (layer_snapshot& layer : taken.layers)
      for (parameter_snapshot& one : layer.parameters)
        for (tensor& state : one.state)
          state.fill(next += 0.5F);
  }
  return ranks;
}

} // namespace troupe::test
