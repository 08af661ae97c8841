// AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2, in the order of operations of
// torch.optim.AdamW.
#pragma once

#include "model/optimizer.hpp"

#include <utility>

namespace troupe {

/// Keeps the running means of the gradient and of its square, both starting at zero.
class adamw : public optimizer {
public:
  explicit adamw(optimizer_spec spec) : spec_(std::move(spec)) {}

  std::vector<std::string> state_names() const override { return {"exp_avg", "exp_avg_sq"}; }
  void update(parameter& p, std::span<tensor> state, const update_rule& rule, tensor_pool& pool) const override;

private:
  optimizer_spec spec_;
};

} // namespace troupe
