#include "runtime/network/placement.hpp"

namespace troupe {

std::vector<std::vector<std::uint32_t>> place_ranks(std::uint32_t ranks, std::size_t workers) {
  std::vector<std::vector<std::uint32_t>> places(workers);
  for (std::uint32_t rank = 0; rank < ranks; ++rank)
    places[workers >= ranks ? rank : rank * workers / ranks].push_back(rank);
  return places;
}

std::set<std::uint32_t> neighbours_of(const plan& pipeline, std::uint32_t rank) {
  std::set<std::uint32_t> found;
  const std::uint32_t last = pipeline.order.stages() - 1;
  for (std::uint32_t copy = 0; copy < pipeline.order.copies(); ++copy)
    for (std::uint32_t stage = 0; stage <= last; ++stage) {
      if (pipeline.rank_of(stage, copy) != rank)
        continue;
      if (stage > 0)
        found.insert(pipeline.rank_of(stage - 1, copy));
      if (stage < last)
        found.insert(pipeline.rank_of(stage + 1, copy));
      if (stage == 0)
        found.insert(pipeline.rank_of(last, copy));
      if (stage == last)
        found.insert(pipeline.rank_of(0, copy));
      for (std::uint32_t other = 0; other < pipeline.order.copies(); ++other)
        found.insert(pipeline.rank_of(stage, other));
    }
  found.erase(rank);
  return found;
}

} // namespace troupe
