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

/// Of one parameter: what is read and what is written. Each pair is the same memory or shares none.
struct update_memory {
  const float *gradient, *value, *buffer;
  float *next_value, *next_buffer;
};

void update_elements(const update_memory& at, std::int64_t size, const coefficients& k) {
  const auto [gradient, value, buffer, next_value, next_buffer] = at;
#pragma GCC ivdep // NOLINT(clang-diagnostic-unknown-pragmas): the compiler that builds it knows it
  for (std::int64_t i = 0; i < size; ++i) {
    const float b = buffer[i] * k.momentum + gradient[i] * k.gradient_scale;
    next_value[i] = value[i] * k.shrink - k.learning_rate * b;
    next_buffer[i] = b;
  }
}

} // namespace

void sgd::update(parameter& p, std::span<tensor> state, const update_rule& rule, tensor_pool& pool) const {
  TROUPE_CHECK(
      state.size() == 1 && state[0].extents() == p.value.extents() && p.gradient.extents() == p.value.extents(),
      "sgd: gradient and state of " + p.name + " must have the shape of its value, " + to_string(p.value.extents()));
  const double weight_decay_rate = p.decay == weight_decay::yes ? spec_.weight_decay : 0.0;
  tensor value = pool.successor_of(p.value);
  tensor buffer = pool.successor_of(state[0]);
  update_elements({p.gradient.data(), p.value.data(), state[0].data(), value.data(), buffer.data()}, p.value.size(),
                  {.gradient_scale = static_cast<float>(rule.gradient_scale),
                   .shrink = static_cast<float>(1.0 - rule.learning_rate * weight_decay_rate),
                   .momentum = static_cast<float>(spec_.momentum),
                   .learning_rate = static_cast<float>(rule.learning_rate)});
  p.value = std::move(value);
  state[0] = std::move(buffer);
}

} // namespace troupe
