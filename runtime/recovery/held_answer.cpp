#include "runtime/recovery/held_answer.hpp"

#include <map>

namespace troupe {

std::vector<held_snapshot> told_of_each(const std::vector<held_snapshot>& held) {
  std::map<std::uint32_t, std::size_t> later; // of each rank, how many are yet to come
  for (const held_snapshot& one : held)
    ++later[one.rank];
  std::map<std::uint32_t, std::size_t> earlier;
  std::vector<held_snapshot> told;
  for (const held_snapshot& one : held)
    if (earlier[one.rank]++ < most_held / 2 || later[one.rank] - earlier[one.rank] < most_held / 2)
      told.push_back(one);
  return told;
}

} // namespace troupe
