#include "runtime/recovery/held_answer.hpp"

#include <map>
#include <set>

namespace troupe {

std::vector<held_snapshot> two_of_each(const std::vector<held_snapshot>& held) {
  std::map<std::uint32_t, held_snapshot> last;
  for (const held_snapshot& one : held)
    last[one.rank] = one;
  std::vector<held_snapshot> told;
  std::set<std::uint32_t> begun;
  for (const held_snapshot& one : held)
    if (begun.insert(one.rank).second || one == last[one.rank])
      told.push_back(one);
  return told;
}

} // namespace troupe
