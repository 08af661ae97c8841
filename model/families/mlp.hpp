// The MLP family: a residual multilayer perceptron that predicts the next token from the T tokens before it; the model
// of Bengio et al. ("A neural probabilistic language model", JMLR 2003) in today's form.
#pragma once

#include "model/model_spec.hpp"

namespace troupe {

/// Layer 0 embeds T tokens side by side, projects them to the width and applies GELU. Layers 1 to L are residual blocks
/// x + W2 gelu(W1 layer_norm(x)) with a hidden layer of twice the width. Layer L + 1 is LayerNorm with the head and the
/// loss. Dropout follows the embedding and each W2. One target a sequence.
class mlp_family final : public model_family {
public:
  std::string name() const override { return "mlp"; }
  void validate(const model_spec& spec) const override;
  std::int64_t layer_count(const model_spec& spec) const override { return spec.layers + 2; }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override;
  layer_ptr make_output_layer(const model_spec& spec) const override;
  double forward_flops(const model_spec& spec, std::int64_t index) const override;
  std::int64_t targets_per_sequence(const model_spec&) const override { return 1; }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override {
    return {sequences, spec.width};
  }
};

} // namespace troupe
