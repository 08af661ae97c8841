// A model family in which a chosen layer gives a number that is not finite at a chosen moment.
#pragma once

#include "tests/support/changed_family.hpp"

#include <limits>
#include <utility>
#include <vector>

namespace troupe::test {

struct poison_dose {
  enum class moment { forward, loss, backward_input, backward_weight };
  moment when = moment::forward; ///< loss: of the last layer only
  std::int64_t layer = 0;
  std::uint64_t step = 0; ///< from 0
  std::uint32_t microbatch = 0;
  float value = std::numeric_limits<float>::quiet_NaN();
};

/// Does as `inner` does, but for one number of a result.
class poisoned_layer : public layer {
public:
  poisoned_layer(layer_ptr inner, std::vector<poison_dose> doses)
      : inner_(std::move(inner)), doses_(std::move(doses)) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override {
    tensor output = inner_->forward(input, kept, at);
    if (const poison_dose* dose = due(poison_dose::moment::loss, at))
      kept.loss = static_cast<double>(dose->value);
    return spoilt(std::move(output), poison_dose::moment::forward, at);
  }
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override {
    return spoilt(inner_->backward_input(output_gradient, kept, at), poison_dose::moment::backward_input, at);
  }
  void backward_weight(stash& kept, const pass_context& at) override {
    inner_->backward_weight(kept, at);
    if (const poison_dose* dose = due(poison_dose::moment::backward_weight, at))
      parameters_of(*inner_).back()->gradient.data()[0] += dose->value;
  }
  void collect_parameters(std::vector<parameter*>& out) override { inner_->collect_parameters(out); }

private:
  const poison_dose* due(poison_dose::moment now, const pass_context& at) const {
    for (const poison_dose& one : doses_)
      if (at.mode == pass_mode::train && one.when == now && one.step == at.step && one.microbatch == at.microbatch)
        return &one;
    return nullptr;
  }

  /// The stash may share the result.
  tensor spoilt(tensor result, poison_dose::moment now, const pass_context& at) const {
    const poison_dose* const dose = due(now, at);
    if (dose == nullptr)
      return result;
    tensor copy = at.pool->copy(result);
    copy.data()[copy.size() / 2] = dose->value;
    return copy;
  }

  layer_ptr inner_;
  std::vector<poison_dose> doses_;
};

class poisoned_family : public changed_family {
public:
  explicit poisoned_family(const std::vector<poison_dose>& doses)
      : changed_family([doses](std::int64_t index, layer_ptr made) -> layer_ptr {
          std::vector<poison_dose> own;
          for (const poison_dose& one : doses)
            if (one.layer == index)
              own.push_back(one);
          return own.empty() ? std::move(made) : std::make_unique<poisoned_layer>(std::move(made), std::move(own));
        }) {}
};

} // namespace troupe::test
