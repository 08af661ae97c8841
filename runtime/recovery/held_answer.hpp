// What a worker tells a coordinator of all that it holds.
#pragma once

#include "runtime/recovery/held_state.hpp"

#include <vector>

namespace troupe {

/// Of each rank the first and the last of what is held, which is in the order of steps done. In between there can be
/// generations that were forgotten as somebody who kept them was lost; a peer takes two of each rank.
std::vector<held_snapshot> two_of_each(const std::vector<held_snapshot>& held);

} // namespace troupe
