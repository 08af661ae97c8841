// A model family whose chosen layer throws at a chosen moment.
#pragma once

#include "model/model_spec.hpp"

#include <stdexcept>
#include <utility>

namespace troupe::test {

/// Does as `inner` does, until the moment comes.
class failing_layer : public layer {
public:
  enum class moment { forward, backward_input, backward_weight };
  struct trigger {
    moment when = moment::forward;
    std::uint64_t step = 0;
    std::uint32_t microbatch = 0;
  };

  failing_layer(layer_ptr inner, const trigger& fails) : inner_(std::move(inner)), fails_(fails) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override {
    fail_if_due(moment::forward, at);
    return inner_->forward(input, kept, at);
  }
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override {
    fail_if_due(moment::backward_input, at);
    return inner_->backward_input(output_gradient, kept, at);
  }
  void backward_weight(stash& kept, const pass_context& at) override {
    fail_if_due(moment::backward_weight, at);
    inner_->backward_weight(kept, at);
  }
  void collect_parameters(std::vector<parameter*>& out) override { inner_->collect_parameters(out); }

private:
  void fail_if_due(moment now, const pass_context& at) const {
    if (at.mode == pass_mode::train && now == fails_.when && at.step == fails_.step &&
        at.microbatch == fails_.microbatch)
      throw std::runtime_error("the layer gave up");
  }

  layer_ptr inner_;
  trigger fails_;
};

/// The gpt family, but for one layer.
class failing_family : public model_family {
public:
  failing_family(std::int64_t index, const failing_layer::trigger& fails) : index_(index), fails_(fails) {}

  std::string name() const override { return gpt_.name(); }
  void validate(const model_spec& spec) const override { gpt_.validate(spec); }
  std::int64_t layer_count(const model_spec& spec) const override { return gpt_.layer_count(spec); }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override {
    layer_ptr made = gpt_.make_layer(spec, index);
    return index == index_ ? std::make_unique<failing_layer>(std::move(made), fails_) : std::move(made);
  }
  layer_ptr make_output_layer(const model_spec& spec) const override { return gpt_.make_output_layer(spec); }
  double forward_flops(const model_spec& spec, std::int64_t index) const override {
    return gpt_.forward_flops(spec, index);
  }
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return gpt_.targets_per_sequence(spec); }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override {
    return gpt_.activation_shape(spec, sequences);
  }

private:
  const model_family& gpt_ = find_family("gpt");
  std::int64_t index_;
  failing_layer::trigger fails_;
};

} // namespace troupe::test
