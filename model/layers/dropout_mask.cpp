#include "model/layers/dropout_mask.hpp"

#include <algorithm>

namespace troupe {

dropout_mask::dropout_mask(double rate, std::uint64_t site, const pass_context& at)
    : stream_{.seed = at.seed, .purpose = random_purpose::dropout, .x = at.step, .y = at.microbatch, .z = site},
      threshold_(static_cast<std::uint32_t>(std::min(rate * 0x1.0p32, 0x1.0p32 - 1.0))),
      scale_(static_cast<float>(1.0 / (1.0 - rate))) {}

void dropout_mask::draw(std::uint64_t first_block, std::int64_t count, float* factors) const {
  for (std::int64_t first = 0; first < count; first += block_size) {
    const auto words = stream_.words(first_block++);
    const std::int64_t here = std::min(block_size, count - first);
    for (std::int64_t i = 0; i < here; ++i)
      factors[first + i] = words[static_cast<std::size_t>(i)] < threshold_ ? 0.0F : scale_;
  }
}

} // namespace troupe
