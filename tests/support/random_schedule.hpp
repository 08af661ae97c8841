// Random schedules that can run, for property tests. They come from playing a pipeline at random, not from the code
// under test: whatever is next in the play was possible at that moment, so the lists have no wait that lasts for ever.
#pragma once

#include "runtime/schedule/schedule.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

namespace troupe::test {

inline std::uint32_t pick(std::mt19937& random, std::uint32_t low, std::uint32_t high) {
  return std::uniform_int_distribution<std::uint32_t>(low, high)(random);
}

/// The actions that must be done before `one`, by the definition of a pipeline of `plan.stages()` stages. Of another
/// stage's backward pass either form will do: I, or B.
inline std::vector<std::vector<action>> needs_of(const action& one, std::uint32_t stages) {
  const auto [stage, op, microbatch] = one;
  const auto input_gradient = [m = microbatch](std::uint32_t s) {
    return std::vector<action>{{s, operation::backward_input, m}, {s, operation::backward, m}};
  };
  std::vector<std::vector<action>> needs;
  if (op == operation::forward && stage > 0)
    needs.push_back({{stage - 1, operation::forward, microbatch}});
  if (op == operation::backward_weight)
    needs.push_back(input_gradient(stage));
  if (op == operation::backward || op == operation::backward_input) {
    needs.push_back({{stage, operation::forward, microbatch}});
    if (stage + 1 < stages)
      needs.push_back(input_gradient(stage + 1));
  }
  return needs;
}

inline bool can_run(const action& one, std::uint32_t stages, const std::set<action>& done) {
  const auto needs = needs_of(one, stages);
  return std::all_of(needs.begin(), needs.end(), [&](const std::vector<action>& forms) {
    return std::any_of(forms.begin(), forms.end(), [&](const action& form) { return done.contains(form); });
  });
}

/// One or two copies of the model, each with stages on the ranks by chance; no stage of both on one rank.
inline std::vector<std::vector<std::uint32_t>> random_placements(std::mt19937& random, std::uint32_t ranks,
                                                                 std::uint32_t stages) {
  std::vector<std::vector<std::uint32_t>> placements(1);
  for (std::uint32_t stage = 0; stage < stages; ++stage)
    placements[0].push_back(stage % ranks);
  std::shuffle(placements[0].begin(), placements[0].end(), random);
  if (ranks == 1 || pick(random, 0, 1) == 0)
    return placements;
  placements.push_back(placements[0]);
  for (std::uint32_t& rank : placements[1])
    rank = (rank + pick(random, 1, ranks - 1)) % ranks;
  return placements;
}

/// Up to 4 ranks with up to 3 stages each, in any placement; some backward passes are whole, some split.
inline schedule random_schedule(std::mt19937& random) {
  schedule result;
  result.name = "random";
  result.ranks = pick(random, 1, 4);
  result.microbatches = pick(random, 1, 5);
  const std::uint32_t chunks = pick(random, 1, 3);
  result.placements = random_placements(random, result.ranks, result.ranks * chunks);
  result.microbatches *= result.copies();
  result.actions.resize(result.ranks);

  std::vector<action> open;
  for (std::uint32_t stage = 0; stage < result.stages(); ++stage)
    for (std::uint32_t microbatch = 0; microbatch < result.microbatches; ++microbatch) {
      open.push_back({stage, operation::forward, microbatch});
      if (pick(random, 0, 1) == 0) {
        open.push_back({stage, operation::backward, microbatch});
      } else {
        open.push_back({stage, operation::backward_input, microbatch});
        open.push_back({stage, operation::backward_weight, microbatch});
      }
    }
  std::set<action> done;
  while (!open.empty()) {
    std::shuffle(open.begin(), open.end(), random);
    const auto next =
        std::find_if(open.begin(), open.end(), [&](const action& one) { return can_run(one, result.stages(), done); });
    result.actions[result.rank_of(next->stage, next->microbatch)].push_back(*next);
    done.insert(*next);
    open.erase(next);
  }
  return result;
}

} // namespace troupe::test
