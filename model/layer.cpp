#include "model/layer.hpp"

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

std::vector<parameter*> parameters_of(layer& one) {
  std::vector<parameter*> found;
  one.collect_parameters(found);
  return found;
}

} // namespace troupe
