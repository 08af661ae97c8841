// GELU in its tanh form, as GPT-2 has it (Hendrycks and Gimpel, "Gaussian error linear units", 2016, section 2).
#pragma once

#include "model/layer.hpp"

namespace troupe {

/// y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), element by element. Keeps x.
class gelu final : public layer {
public:
  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
};

} // namespace troupe
