#include "model/optimizers/sgd.hpp"

#include "model/error.hpp"

namespace troupe {

namespace {

struct coefficients {
  float gradient_scale;
  float shrink; ///< 1 - learning rate * weight decay
  float momentum;
  float learning_rate;
};

void update_elements(float* __restrict value, float* __restrict buffer, const float* __restrict gradient,
                     std::int64_t size, const coefficients& k) {
  for (std::int64_t i = 0; i < size; ++i) {
    const float b = buffer[i] * k.momentum + gradient[i] * k.gradient_scale;
    value[i] = value[i] * k.shrink - k.learning_rate * b;
    buffer[i] = b;
  }
}

} // namespace

void sgd::update(parameter& p, std::span<tensor> state, const update_rule& rule) const {
  TROUPE_CHECK(
      state.size() == 1 && state[0].extents() == p.value.extents() && p.gradient.extents() == p.value.extents(),
      "sgd: gradient and state of " + p.name + " must have the shape of its value, " + to_string(p.value.extents()));
  const double weight_decay_rate = p.decay == weight_decay::yes ? spec_.weight_decay : 0.0;
  update_elements(p.value.data(), state[0].data(), p.gradient.data(), p.value.size(),
                  {.gradient_scale = static_cast<float>(rule.gradient_scale),
                   .shrink = static_cast<float>(1.0 - rule.learning_rate * weight_decay_rate),
                   .momentum = static_cast<float>(spec_.momentum),
                   .learning_rate = static_cast<float>(rule.learning_rate)});
}

} // namespace troupe
