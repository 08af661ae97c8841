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

/// Of one parameter: what is read and what is written. Each pair is the same memory or shares none.
struct update_memory {
  const float *gradient, *value, *mean, *mean_square;
  float *next_value, *next_mean, *next_mean_square;
};

void update_elements(const update_memory& at, std::int64_t size, const coefficients& k) {
  const auto [gradient, value, mean, mean_square, next_value, next_mean, next_mean_square] = at;
#pragma GCC ivdep // NOLINT(clang-diagnostic-unknown-pragmas): the compiler that builds it knows it
  for (std::int64_t i = 0; i < size; ++i) {
    const float g = gradient[i] * k.gradient_scale;
    const float m = mean[i] * k.keep1 + g * k.add1;
    const float v = mean_square[i] * k.keep2 + g * g * k.add2;
    const float denominator = std::sqrt(v) / k.correction2_root + k.epsilon;
    next_value[i] = value[i] * k.shrink - k.step_size * (m / denominator);
    next_mean[i] = m;
    next_mean_square[i] = v;
  }
}

} // namespace

void adamw::update(parameter& p, std::span<tensor> state, const update_rule& rule, tensor_pool& pool) const {
  TROUPE_CHECK(state.size() == 2 && state[0].extents() == p.value.extents() &&
                   state[1].extents() == p.value.extents() && p.gradient.extents() == p.value.extents(),
               "adamw: gradient and state of " + p.name + " must have the shape of its value, " +
                   to_string(p.value.extents()));
  tensor value = pool.successor_of(p.value);
  tensor mean = pool.successor_of(state[0]);
  tensor mean_square = pool.successor_of(state[1]);
  update_elements({p.gradient.data(), p.value.data(), state[0].data(), state[1].data(), value.data(), mean.data(),
                   mean_square.data()},
                  p.value.size(), coefficients_of(spec_, rule, p.decay));
  p.value = std::move(value);
  state[0] = std::move(mean);
  state[1] = std::move(mean_square);
}

} // namespace troupe
