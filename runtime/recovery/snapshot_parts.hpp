// A snapshot as it goes from worker to worker: layer by layer.
#pragma once

#include "runtime/traffic.hpp"
#include "runtime/wire/control.hpp"

#include <vector>

namespace troupe {

/// They share the snapshot's tensors.
std::vector<snapshot_part> parts_of(const rank_snapshot& taken);
/// Begins `so_far` anew when the part is of another one.
void add_part(rank_snapshot& so_far, const snapshot_part& part);

} // namespace troupe
