#include "model/parameter.hpp"

#include "model/random.hpp"

#include <algorithm>

namespace troupe {

void allocate(parameter& p, tensor_pool& pool, std::uint64_t seed, std::uint64_t layer, std::uint64_t index) {
  p.value = pool.make_filled(p.extents, p.start.value);
  p.gradient = pool.make_filled(p.extents, 0.0F);
  if (p.start.standard_deviation == 0.0)
    return;
  fill_normal(p.value.values(), {.seed = seed, .purpose = random_purpose::weights, .x = layer, .y = index},
              p.start.standard_deviation);
  if (p.start.value != 0.0F)
    std::for_each(p.value.values().begin(), p.value.values().end(), [&](float& x) { x += p.start.value; });
}

} // namespace troupe
