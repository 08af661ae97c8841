// The input of a model that predicts one token from a fixed context: the embeddings of the context's tokens, side by
// side (Bengio et al., "A neural probabilistic language model", JMLR 2003, section 2).
#pragma once

#include "model/layer.hpp"

#include <cstdint>

namespace troupe {

struct context_embedding_options {
  std::int64_t vocabulary = 0;
  std::int64_t embedding_width = 0; ///< E
  double standard_deviation = 0.0;
};

/// From at.tokens (B*T of them, read in forward and in W) to [B, T*E]. Parameter "embedding.weight" [V, E]. Throws
/// data_error on a token outside the vocabulary.
class context_embedding final : public layer {
public:
  explicit context_embedding(const context_embedding_options& options);

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override { out.push_back(&table_); }

private:
  parameter table_;
};

} // namespace troupe
