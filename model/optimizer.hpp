// Optimizers, gradient clipping and the learning-rate schedule. All of it is elementwise or a plain sum in a stated
// order.
#pragma once

#include "model/parameter.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// The settings of the update rule. Two runs with equal optimizer_spec apply the same arithmetic.
struct optimizer_spec {
  std::string kind = "adamw"; ///< "adamw" or "sgd"
  double learning_rate = 1e-3;
  double minimum_learning_rate = 0.0; ///< where the cosine ends
  std::uint64_t warmup_steps = 0;     ///< linear warm-up
  std::uint64_t decay_steps = 0;      ///< the cosine ends at this step; 0: no decay
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  double momentum = 0.9; ///< sgd
  double clip = 1.0;     ///< the largest global gradient norm; 0: no clipping

  friend bool operator==(const optimizer_spec&, const optimizer_spec&) = default;
};

/// Linear warm-up to `learning_rate` over warmup_steps, then a cosine down to minimum_learning_rate at decay_steps
/// (Loshchilov and Hutter, "SGDR", section 3, one period). `step` counts from 0.
double learning_rate_at(const optimizer_spec& spec, std::uint64_t step);

/// The sum of squares of a gradient: a double, added in element order in a fixed number of interleaved partial sums.
double sum_of_squares(const tensor& gradient);

/// The factor for all gradients when `squares` holds each parameter tensor's sum of squares in layer order: clip / norm
/// where the global norm exceeds clip, else 1.
struct clip_decision {
  double norm = 0.0;
  double scale = 1.0;
};
clip_decision clip_gradients(std::span<const double> squares, double clip);

/// What one update of all parameters needs to know.
struct update_rule {
  std::uint64_t step = 0; ///< from 0
  double learning_rate = 0.0;
  double gradient_scale = 1.0;
};

/// Applies one update rule to parameters. Stateless: the moments live with the caller.
class optimizer {
public:
  virtual ~optimizer() = default;
  /// Names of the state tensors of one parameter, each of the parameter's shape and starting at zero.
  virtual std::vector<std::string> state_names() const = 0;
  /// Updates `p.value` and `state` from p.gradient. Of those that others share, such as a snapshot, the new elements go
  /// to new memory from `pool`, and what the others hold stays as it is.
  virtual void update(parameter& p, std::span<tensor> state, const update_rule& rule, tensor_pool& pool) const = 0;
};

/// "adamw": Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2. "sgd": with momentum as
/// PyTorch defines it, and the same decoupled decay. Throws spec_error on another kind.
std::unique_ptr<optimizer> make_optimizer(const optimizer_spec& spec);

} // namespace troupe
