#include "model/stage_model.hpp"

#include "model/error.hpp"

namespace troupe {

stage_model::stage_model(std::vector<layer_ptr> layers, recompute mode) : layers_(std::move(layers)), mode_(mode) {
  for (const layer_ptr& one : layers_)
    one->collect_parameters(parameters_);
}

stage_model::flight& stage_model::open_flight(std::uint32_t microbatch) {
  TROUPE_CHECK(!in_flight_.contains(microbatch),
               "forward pass of microbatch " + std::to_string(microbatch) + " run twice");
  if (spare_.empty()) {
    flight fresh{std::vector<stash>(layers_.size()), std::vector<tensor>(layers_.size())};
    return in_flight_.emplace(microbatch, std::move(fresh)).first->second;
  }
  auto node = std::move(spare_.back());
  spare_.pop_back();
  node.key() = microbatch;
  return in_flight_.insert(std::move(node)).position->second;
}

stage_model::flight& stage_model::find_flight(std::uint32_t microbatch) {
  const auto found = in_flight_.find(microbatch);
  TROUPE_CHECK(found != in_flight_.end(),
               "backward pass of microbatch " + std::to_string(microbatch) + " without its forward pass");
  return found->second;
}

void stage_model::close_flight(std::uint32_t microbatch) {
  spare_.push_back(in_flight_.extract(microbatch));
}

tensor stage_model::forward(const tensor& input, const pass_context& at) {
  const bool keeps = at.mode == pass_mode::train;
  flight* held = keeps ? &open_flight(at.microbatch) : nullptr;
  tensor current = input;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const bool stash_kept = keeps && mode_ == recompute::none;
    stash& kept = stash_kept ? held->kept[i] : scratch_;
    if (keeps && mode_ == recompute::full)
      held->inputs[i] = current;
    current = layers_[i]->forward(current, kept, at);
    last_loss_ = kept.loss;
    if (!stash_kept)
      scratch_.clear();
  }
  return current;
}

void stage_model::restore(flight& held, std::size_t index, const pass_context& at) {
  if (mode_ == recompute::none)
    return;
  layers_[index]->forward(held.inputs[index], held.kept[index], at);
  held.inputs[index] = {};
}

tensor stage_model::backward_input(const tensor& output_gradient, const pass_context& at) {
  flight& held = find_flight(at.microbatch);
  tensor gradient = output_gradient;
  for (std::size_t i = layers_.size(); i-- > 0;) {
    restore(held, i, at);
    gradient = layers_[i]->backward_input(gradient, held.kept[i], at);
  }
  recomputed_ += mode_ == recompute::full ? 1 : 0;
  return gradient;
}

void stage_model::backward_weight(const pass_context& at) {
  flight& held = find_flight(at.microbatch);
  for (std::size_t i = layers_.size(); i-- > 0;) {
    layers_[i]->backward_weight(held.kept[i], at);
    held.kept[i].clear();
  }
  close_flight(at.microbatch);
}

tensor stage_model::backward(const tensor& output_gradient, const pass_context& at) {
  flight& held = find_flight(at.microbatch);
  tensor gradient = output_gradient;
  for (std::size_t i = layers_.size(); i-- > 0;) {
    restore(held, i, at);
    gradient = layers_[i]->backward_input(gradient, held.kept[i], at);
    layers_[i]->backward_weight(held.kept[i], at);
    held.kept[i].clear();
  }
  recomputed_ += mode_ == recompute::full ? 1 : 0;
  close_flight(at.microbatch);
  return gradient;
}

std::optional<std::size_t> stage_model::first_not_finite(const pass_context& at) {
  const flight& held = find_flight(at.microbatch);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (mode_ == recompute::full)
      layers_[i]->forward(held.inputs[i], scratch_, at);
    const bool finite = (mode_ == recompute::full ? scratch_ : held.kept[i]).is_finite();
    scratch_.clear();
    if (!finite)
      return i;
  }
  return std::nullopt;
}

std::size_t stage_model::stash_bytes() const {
  std::size_t total = 0;
  for (const auto& [microbatch, held] : in_flight_) {
    for (const stash& kept : held.kept)
      total += kept.bytes();
    for (const tensor& input : held.inputs)
      total += input.bytes();
  }
  return total;
}

} // namespace troupe
