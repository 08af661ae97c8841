// Which worker hosts which ranks, and which workers talk to each other.
#pragma once

#include "runtime/plan.hpp"

#include <cstdint>
#include <set>
#include <vector>

namespace troupe {

/// The ranks of each of `workers`, contiguous and as even as can be; a worker beyond the number of ranks has none.
std::vector<std::vector<std::uint32_t>> place_ranks(std::uint32_t ranks, std::size_t workers);

/// The ranks that `rank` sends tensors to or receives them from: neighbours in the pipeline, holders of the other copy
/// of one of its stages, and, at either end of the model, the other end (a tied parameter).
std::set<std::uint32_t> neighbours_of(const plan& pipeline, std::uint32_t rank);

} // namespace troupe
