// Dropout as a layer: the identity when evaluating or at rate 0.
#pragma once

#include "model/layer.hpp"

#include <cstdint>

namespace troupe {

/// Multiplies each element by its factor (dropout_mask). Keeps nothing: backward draws the mask again. As the identity,
/// its result shares the input's memory.
class dropout final : public layer {
public:
  /// `site` is unique to each place of dropout in the model.
  dropout(double rate, std::uint64_t site) : rate_(rate), site_(site) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;

private:
  tensor masked(const tensor& values, const pass_context& at) const;

  double rate_;
  std::uint64_t site_;
};

} // namespace troupe
