// Softmax and cross-entropy: the loss layer at the end of a model.
#pragma once

#include "model/layer.hpp"

namespace troupe {

/// Takes logits [N, V] and at.targets (N of them, read in forward). Sets kept.loss to the mean over targets of
/// -log softmax(logits)[target] and returns an empty tensor. In training keeps the gradient of loss / at.microbatches,
/// (softmax - onehot) / (N * at.microbatches), which backward_input hands out; its output_gradient is not read. Throws
/// data_error on a target outside the vocabulary.
class cross_entropy final : public layer {
public:
  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
};

} // namespace troupe
