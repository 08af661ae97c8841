#include "model/layers/dropout.hpp"

#include "model/layers/dropout_mask.hpp"

#include <algorithm>
#include <array>

namespace troupe {

tensor dropout::masked(const tensor& values, const pass_context& at) const {
  if (rate_ == 0.0 || at.mode == pass_mode::evaluate)
    return values;
  constexpr std::int64_t piece = 32 * dropout_mask::block_size;
  const dropout_mask mask(rate_, site_, at);
  std::array<float, piece> factors{};
  tensor result = at.pool->make(values.extents());
  for (std::int64_t first = 0; first < values.size(); first += piece) {
    const std::int64_t count = std::min(piece, values.size() - first);
    mask.draw(static_cast<std::uint64_t>(first / dropout_mask::block_size), count, factors.data());
    const float* const from = values.data() + first;
    float* const to = result.data() + first;
    for (std::int64_t i = 0; i < count; ++i)
      to[i] = from[i] * factors[static_cast<std::size_t>(i)];
  }
  return result;
}

tensor dropout::forward(const tensor& input, stash& kept, const pass_context& at) const {
  (void)kept;
  return masked(input, at);
}

tensor dropout::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  (void)kept;
  return masked(output_gradient, at);
}

void dropout::backward_weight(stash& kept, const pass_context& at) {
  (void)kept;
  (void)at;
}

} // namespace troupe
