#include "model/layers/chain.hpp"

namespace troupe {

tensor chain::forward(const tensor& input, stash& kept, const pass_context& at) const {
  if (kept.parts.size() < parts_.size()) // a recycled stash may have more
    kept.parts.resize(parts_.size());
  tensor current = input;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    current = parts_[i]->forward(current, kept.parts[i], at);
    kept.loss = kept.parts[i].loss;
    if (at.mode == pass_mode::evaluate)
      kept.parts[i].clear();
  }
  return current;
}

tensor chain::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  tensor gradient = output_gradient;
  for (std::size_t i = parts_.size(); i-- > 0;)
    gradient = parts_[i]->backward_input(gradient, kept.parts[i], at);
  return gradient;
}

void chain::backward_weight(stash& kept, const pass_context& at) {
  for (std::size_t i = parts_.size(); i-- > 0;)
    parts_[i]->backward_weight(kept.parts[i], at);
  kept.clear();
}

void chain::collect_parameters(std::vector<parameter*>& out) {
  for (const layer_ptr& part : parts_)
    part->collect_parameters(out);
}

} // namespace troupe
