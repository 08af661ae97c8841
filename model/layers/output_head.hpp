// Output head: a row's logits over the vocabulary, by the product with each token's vector. No bias.
#pragma once

#include "model/layer.hpp"

#include <cstdint>
#include <string>

namespace troupe {

struct output_head_options {
  std::int64_t vocabulary = 0;
  std::int64_t width = 0;
  double standard_deviation = 0.0;
  std::string replica_of = {}; ///< the token embedding's name when the two are tied
};

/// [N, width] to logits [N, V], x W^T. Parameter "lm_head.weight" [V, width]. Keeps x, and from I to W the output
/// gradient too.
class output_head final : public layer {
public:
  explicit output_head(const output_head_options& options);

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override { out.push_back(&weight_); }

private:
  parameter weight_;
};

} // namespace troupe
