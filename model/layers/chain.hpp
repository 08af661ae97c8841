// Chain: layers one after the other, as one layer.
#pragma once

#include "model/layer.hpp"

#include <vector>

namespace troupe {

/// The stash of part i is kept.parts[i]. When evaluating, what a part keeps is dropped before the next part runs.
class chain final : public layer {
public:
  explicit chain(std::vector<layer_ptr> parts) : parts_(std::move(parts)) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override;

private:
  std::vector<layer_ptr> parts_;
};

/// A chain of the given layers, in order.
template <class... Layers>
layer_ptr make_chain(Layers... layers) {
  std::vector<layer_ptr> parts;
  parts.reserve(sizeof...(layers));
  (parts.push_back(std::move(layers)), ...);
  return std::make_unique<chain>(std::move(parts));
}

} // namespace troupe
