// Stochastic gradient descent with momentum as torch.optim.SGD defines it (no dampening, no Nesterov), but with the
// decoupled weight decay of AdamW.
#pragma once

#include "model/optimizer.hpp"

#include <utility>

namespace troupe {

/// Keeps the running sum of gradients. It starts at zero, so the first step's buffer is the gradient itself, which is
/// how PyTorch starts it.
class sgd : public optimizer {
public:
  explicit sgd(optimizer_spec spec) : spec_(std::move(spec)) {}

  std::vector<std::string> state_names() const override { return {"momentum_buffer"}; }
  void update(parameter& p, std::span<tensor> state, const update_rule& rule, tensor_pool& pool) const override;

private:
  optimizer_spec spec_;
};

} // namespace troupe
