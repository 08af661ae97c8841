// LayerNorm over a row (Ba et al., "Layer normalization", 2016): y = (x - mean) / sqrt(variance + epsilon) * gamma +
// beta, with GPT-2's epsilon.
#pragma once

#include "model/layer.hpp"

#include <cstdint>
#include <string>

namespace troupe {

/// [N, width] to [N, width]. Keeps x and each row's mean and 1 / sqrt(variance + epsilon), and from I to W the output
/// gradient too. The parameters are name + ".weight" (gamma) and name + ".bias" (beta).
class layer_norm final : public layer {
public:
  static constexpr float epsilon = 1e-5F;

  layer_norm(const std::string& name, std::int64_t width);

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override;

private:
  parameter gamma_;
  parameter beta_;
};

} // namespace troupe
