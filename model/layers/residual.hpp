// Residual: y = x + inner(x) (He et al., "Deep residual learning for image recognition", 2015, section 3.2).
#pragma once

#include "model/layer.hpp"

namespace troupe {

/// The shape of inner's output is that of its input. The stash of `inner` is kept.parts[0].
class residual final : public layer {
public:
  explicit residual(layer_ptr inner) : inner_(std::move(inner)) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override { inner_->collect_parameters(out); }

private:
  layer_ptr inner_;
};

} // namespace troupe
