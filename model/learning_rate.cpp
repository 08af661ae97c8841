#include "model/optimizer.hpp"

#include <cmath>
#include <numbers>

namespace troupe {

double learning_rate_at(const optimizer_spec& spec, std::uint64_t step) {
  // The first step trains already: warm-up takes the rate from peak / warmup_steps to the peak.
  if (step < spec.warmup_steps)
    return spec.learning_rate * static_cast<double>(step + 1) / static_cast<double>(spec.warmup_steps);
  if (spec.decay_steps == 0)
    return spec.learning_rate;
  if (step >= spec.decay_steps)
    return spec.minimum_learning_rate;
  const double progress =
      static_cast<double>(step - spec.warmup_steps) / static_cast<double>(spec.decay_steps - spec.warmup_steps);
  const double share = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return spec.minimum_learning_rate + share * (spec.learning_rate - spec.minimum_learning_rate);
}

} // namespace troupe
