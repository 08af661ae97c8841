#include "runtime/recovery/snapshot_parts.hpp"

namespace troupe {

std::vector<snapshot_part> parts_of(const rank_snapshot& taken) {
  std::vector<snapshot_part> parts;
  for (const bool second : {false, true})
    for (const layer_snapshot& layer : second ? taken.second_copy : taken.layers)
      parts.push_back({taken.rank, taken.source_incarnation, taken.steps_done, second, layer});
  if (parts.empty()) // of a rank whose passes are emulated
    parts.push_back({.rank = taken.rank,
                     .source_incarnation = taken.source_incarnation,
                     .steps_done = taken.steps_done,
                     .empty = true});
  parts.back().last = true;
  return parts;
}

void add_part(rank_snapshot& so_far, const snapshot_part& part) {
  if (so_far.rank != part.rank || so_far.source_incarnation != part.source_incarnation ||
      so_far.steps_done != part.steps_done)
    so_far = {.rank = part.rank, .source_incarnation = part.source_incarnation, .steps_done = part.steps_done};
  if (part.empty)
    return;
  (part.second_copy ? so_far.second_copy : so_far.layers).push_back(part.layer);
}

} // namespace troupe
