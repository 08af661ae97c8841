// Causal multi-head attention, block by block with a running softmax: Dao, "FlashAttention-2", 2023, algorithms 1
// and 2. No T x T matrix is ever held.
#pragma once

#include "model/layer.hpp"

#include <cstdint>

namespace troupe {

struct attention_options {
  std::int64_t heads = 1;
  double dropout = 0.0;   ///< on the attention probabilities
  std::uint64_t site = 0; ///< unique to each place of dropout in the model
};

/// From q|k|v [B*T, 3C] to [B*T, C]; each head has C / heads adjacent columns of q, of k and of v. A token sees itself
/// and the tokens before it in its own sequence. Keeps its input, its output and one log-sum-exp per row and head.
class attention final : public layer {
public:
  /// Rows of a block of queries, and of a block of keys.
  static constexpr std::int64_t block = 64;

  explicit attention(const attention_options& options) : options_(options) {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;

private:
  attention_options options_;
};

} // namespace troupe
