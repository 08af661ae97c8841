// What a worker tells a coordinator of all that it holds.
#pragma once

#include "runtime/recovery/held_state.hpp"

#include <vector>

namespace troupe {

/// Of each rank what a peer takes at most: the oldest and the newest of what is held, which is in the order of steps
/// done. Mostly that is all. One of the recovery line and the one before may not have been thrown away yet, and in
/// between there can be generations that were forgotten as somebody who kept them was lost.
std::vector<held_snapshot> told_of_each(const std::vector<held_snapshot>& held);

} // namespace troupe
