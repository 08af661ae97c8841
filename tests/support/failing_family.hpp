// A model family whose chosen layer throws at a chosen moment.
#pragma once

#include "tests/support/changed_family.hpp"

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
class failing_family : public changed_family {
public:
  failing_family(std::int64_t index, const failing_layer::trigger& fails)
      : changed_family([index, fails](std::int64_t made_index, layer_ptr made) -> layer_ptr {
          return made_index == index ? std::make_unique<failing_layer>(std::move(made), fails) : std::move(made);
        }) {}
};

} // namespace troupe::test
