#include "model/optimizers/adamw.hpp"

#include "model/error.hpp"

#include <cmath>

namespace troupe {

namespace {

/// What is the same for all elements: computed in double, then rounded once, as PyTorch does.
struct coefficients {
  float gradient_scale;
  float shrink; ///< 1 - learning rate * weight decay
  float keep1, add1;
  float keep2, add2;
  float correction2_root; ///< sqrt(1 - beta2^t)
  float epsilon;
  float step_size; ///< learning rate / (1 - beta1^t)
};

coefficients coefficients_of(const optimizer_spec& spec, const update_rule& rule, weight_decay decay) {
  const double t = static_cast<double>(rule.step) + 1.0;
  const double weight_decay_rate = decay == weight_decay::yes ? spec.weight_decay : 0.0;
  return {
      .gradient_scale = static_cast<float>(rule.gradient_scale),
      .shrink = static_cast<float>(1.0 - rule.learning_rate * weight_decay_rate),
      .keep1 = static_cast<float>(spec.beta1),
      .add1 = static_cast<float>(1.0 - spec.beta1),
      .keep2 = static_cast<float>(spec.beta2),
      .add2 = static_cast<float>(1.0 - spec.beta2),
      .correction2_root = static_cast<float>(std::sqrt(1.0 - std::pow(spec.beta2, t))),
      .epsilon = static_cast<float>(spec.epsilon),
      .step_size = static_cast<float>(rule.learning_rate / (1.0 - std::pow(spec.beta1, t))),
  };
}

void update_elements(float* __restrict value, float* __restrict mean, float* __restrict mean_square,
                     const float* __restrict gradient, std::int64_t size, const coefficients& k) {
  for (std::int64_t i = 0; i < size; ++i) {
    const float g = gradient[i] * k.gradient_scale;
    const float m = mean[i] * k.keep1 + g * k.add1;
    const float v = mean_square[i] * k.keep2 + g * g * k.add2;
    const float denominator = std::sqrt(v) / k.correction2_root + k.epsilon;
    value[i] = value[i] * k.shrink - k.step_size * (m / denominator);
    mean[i] = m;
    mean_square[i] = v;
  }
}

} // namespace

void adamw::update(parameter& p, std::span<tensor> state, const update_rule& rule) const {
  TROUPE_CHECK(state.size() == 2 && state[0].extents() == p.value.extents() &&
                   state[1].extents() == p.value.extents() && p.gradient.extents() == p.value.extents(),
               "adamw: gradient and state of " + p.name + " must have the shape of its value, " +
                   to_string(p.value.extents()));
  update_elements(p.value.data(), state[0].data(), state[1].data(), p.gradient.data(), p.value.size(),
                  coefficients_of(spec_, rule, p.decay));
}

} // namespace troupe
