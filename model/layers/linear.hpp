// Linear: y = x W + b. W is stored [inputs, outputs], as GPT-2's Conv1D stores it.
#pragma once

#include "model/layer.hpp"

#include <cstdint>
#include <string>

namespace troupe {

struct linear_options {
  std::string name; ///< the parameters are name + ".weight" and name + ".bias"
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  double standard_deviation = 0.0; ///< of the weight at the start; the bias starts at 0
};

/// [N, inputs] to [N, outputs]. Keeps x, and from I to W the output gradient too.
class linear final : public layer {
public:
  explicit linear(const linear_options& options);

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override;

private:
  parameter weight_;
  parameter bias_;
};

} // namespace troupe
