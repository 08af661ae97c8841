// Chimera (arXiv 2107.06925, section 3.1): two pipelines of 1F1B in opposite directions, each with half of the
// microbatches and its own copy of the weights; one works where the other would idle.
#include "runtime/schedule/generators/generators.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace troupe {

namespace {

/// An action and the slot in which it runs when F and B take one slot each. No two of a rank share a slot.
using slotted_action = std::pair<std::uint64_t, action>;

/// With p ranks a block has p / 2 microbatches of each direction, and the next block starts 2p slots later, so that its
/// first passes fill the gaps among the last ones of this block (section 3.4, direct concatenation). Microbatches that
/// do not fill the last block leave its other slots empty.
std::uint64_t entry_slot(std::uint64_t ranks, std::uint64_t nth) {
  const std::uint64_t in_block = ranks / 2;
  return nth / in_block * 2 * ranks + 2 * (nth % in_block);
}

/// The passes of one copy's stage: the nth microbatch that comes in at slot e reaches it at e + stage, and comes back
/// from the last stage at once.
void append_stage(std::vector<slotted_action>& list, std::uint64_t ranks, std::uint32_t stage, microbatch_range range) {
  for (std::uint32_t microbatch = range.first; microbatch < range.last; ++microbatch) {
    const std::uint64_t entry = entry_slot(ranks, microbatch - range.first);
    list.push_back({entry + stage, {stage, operation::forward, microbatch}});
    list.push_back({entry + 2 * ranks - 1 - stage, {stage, operation::backward, microbatch}});
  }
}

} // namespace

schedule generate_chimera(const schedule_request& request) {
  schedule result = without_actions_from_both_ends(request);
  const std::uint32_t half = request.microbatches / 2;
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank) {
    std::vector<slotted_action> list;
    list.reserve(std::size_t{2} * request.microbatches);
    append_stage(list, request.ranks, rank, {0, half});
    append_stage(list, request.ranks, request.ranks - 1 - rank, {half, request.microbatches});
    std::sort(list.begin(), list.end());
    for (const auto& [slot, what] : list)
      result.actions[rank].push_back(what);
  }
  return result;
}

} // namespace troupe
