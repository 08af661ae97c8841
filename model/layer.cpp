#include "model/layer.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

void stash::clear() {
  slots.clear();
  for (stash& part : parts)
    part.clear();
  loss = 0.0;
}

std::size_t stash::bytes() const {
  std::size_t total = 0;
  for (const tensor& kept : slots)
    total += kept.bytes();
  for (const stash& part : parts)
    total += part.bytes();
  return total;
}

bool stash::is_finite() const {
  const auto finite = [](const tensor& one) {
    return std::ranges::all_of(one.values(), [](float value) { return std::isfinite(value); });
  };
  return std::ranges::all_of(slots, finite) && std::ranges::all_of(parts, &stash::is_finite);
}

std::vector<parameter*> parameters_of(layer& one) {
  std::vector<parameter*> found;
  one.collect_parameters(found);
  return found;
}

} // namespace troupe
