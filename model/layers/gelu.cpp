#include "model/layers/gelu.hpp"

#include "model/layers/packs.hpp"

namespace troupe {

namespace {

constexpr float slope = 0.7978845608F; ///< sqrt(2 / pi)
constexpr float cubic = 0.044715F;

/// slope * (x + cubic x^3)
template <class Pack>
auto tanh_argument(const Pack& x) {
  return x * (slope + slope * cubic * x.square());
}

} // namespace

tensor gelu::forward(const tensor& input, stash& kept, const pass_context& at) const {
  tensor output = at.pool->make(input.extents());
  map_packs(
      output.data(), input.size(),
      [](const auto& x) -> pack {
        const pack t = tanh_argument(x).tanh();
        return 0.5F * x * (1.0F + t);
      },
      input.data());
  kept.slots.push_back(input);
  return output;
}

tensor gelu::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  tensor input_gradient = at.pool->make(output_gradient.extents());
  map_packs(
      input_gradient.data(), output_gradient.size(),
      [](const auto& x, const auto& dy) -> pack {
        const pack t = tanh_argument(x).tanh();
        return 0.5F * dy * (1.0F + t + x * (1.0F - t.square()) * (slope + 3.0F * slope * cubic * x.square()));
      },
      kept.slots.front().data(), output_gradient.data());
  kept.clear();
  return input_gradient;
}

void gelu::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  kept.clear();
}

} // namespace troupe
